"""Who takes secrets by reference: servers of models, the hub, Redis, the command line."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bao_server import BaoServer
from secret_checks import everything_of, wait_until

from natix_cascade.cli import main
from natix_cascade.errors import CascadeError, ModelError, SecretError, SpecError, TransientModelError
from natix_cascade.models import LoadOptions
from natix_cascade.models.openai import OpenAIModel
from natix_cascade.secrets import shared
from natix_cascade.spec.endpoints import Endpoint, Endpoints
from natix_cascade.spec.library import load_endpoints
from natix_cascade.testing.chat import PretendedChat, ask_card

OLD, NEW = "sk-old-verysecret-0123456789", "sk-new-verysecret-0123456789"
PIXELS = np.full((64, 96, 3), 120, np.uint8)

Ask = Callable[[PretendedChat, str], OpenAIModel]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask() -> Iterator[Ask]:
    pytest.importorskip("httpx")
    made: list[OpenAIModel] = []

    def make(server: PretendedChat, api_key: str) -> OpenAIModel:
        where = Endpoint(url=server.url, api_key=api_key, timeout_s=20.0)
        made.append(OpenAIModel(ask_card(), Path(), LoadOptions(endpoints=Endpoints(models={"tiny": (where,)}))))
        return made[-1]

    yield make
    for model in made:
        model.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["natix-cascade", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture
def vault(bao: BaoServer, admin: Any, monkeypatch: pytest.MonkeyPatch) -> BaoServer:
    """The environment of a process that may read."""
    monkeypatch.setenv("VAULT_ADDR", bao.url)
    token = admin.auth.token.create(policies=["cascade"], ttl="1h")["auth"]["client_token"]
    monkeypatch.setenv("VAULT_TOKEN", token)
    return bao


def score(model: OpenAIModel) -> float:
    return float(model.predict([model.prepare(PIXELS)]).scores[0])


@pytest.mark.observe
@pytest.mark.usefixtures("vault")
def test_a_key_that_is_changed_in_the_vault_opens_the_next_request(
    put: Any, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    put("vlm", key=OLD)
    with PretendedChat(0.5, key=OLD) as server:
        model = ask(server, "vault:natix/vlm#key")
        assert score(model) == pytest.approx(0.5)
        put("vlm", key=NEW)
        server.key = NEW
        asked = len(server.requests)
        assert score(model) == pytest.approx(0.5)
        assert len(server.requests) == asked + 1  # the one that was refused does not count as one there
        assert server.keys == {f"Bearer {OLD}", f"Bearer {NEW}"}
    assert not [word for word in (OLD, NEW) if word in caplog.text]


@pytest.mark.observe
def test_a_vault_that_is_gone_does_not_stop_the_requests(
    vault: BaoServer, put: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATIX_CASCADE_SECRETS_REFRESH_S", "0.1")
    put("vlm", key=OLD)
    with PretendedChat(0.5, key=OLD) as server:
        model = ask(server, "vault:natix/vlm#key")
        assert score(model) == pytest.approx(0.5)
        vault.pause()
        try:
            wait_until(lambda: bool(shared().problems))
            assert score(model) == pytest.approx(0.5)
        finally:
            vault.go_on()


def test_a_key_in_a_file_is_changed_without_a_restart(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(OLD + "\n", "utf-8")
    with PretendedChat(0.5, key=OLD) as server:
        model = ask(server, f"file:{file}")
        assert score(model) == pytest.approx(0.5)
        file.write_text(NEW + "\n", "utf-8")
        server.key = NEW
        assert score(model) == pytest.approx(0.5)


def test_a_key_that_is_not_taken_is_tried_once_and_named_but_not_shown(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(OLD, "utf-8")
    with PretendedChat(0.5, key=NEW) as server:
        model = ask(server, f"file:{file}")
        with pytest.raises(ModelError, match=f"the key in file:{file} is not taken") as caught:
            score(model)
        assert server.keys == {f"Bearer {OLD}"}
    assert OLD not in "".join(traceback.format_exception(caught.value))
    assert OLD not in repr(vars(model)) + repr(vars(model._server))


def test_a_key_that_is_away_may_come_yet(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hvac", reason="the vault extra is not installed")
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_ROLE_ID", "hush-1")
    monkeypatch.setenv("VAULT_SECRET_ID", "hush-2")
    with PretendedChat(0.5) as server, pytest.raises(TransientModelError, match="cannot be reached") as caught:
        ask(server, "vault:natix/vlm#key")
    assert "hush" not in everything_of(caught.value)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (f"api_key: {OLD}", "models.tiny.0: api_key: a secret is wanted by reference"),
        ("api_key: 123456789", "models.tiny.0.api_key: Input should be a valid string"),
        (f"apikey: {OLD}", "models.tiny.0.apikey: unknown key"),
        (f"api_key: [{OLD}]", "models.tiny.0.api_key: Input should be a valid string"),
        ("api_key: env:A\n      api_key_env: A", "api_key and api_key_env are both given; write one of them"),
        ("api_key_env: sk-old-verysecret", "models.tiny.0: api_key_env: env: wants the name of a variable"),
    ],
)
def test_a_key_in_a_file_of_endpoints_is_refused_and_not_repeated(tmp_path: Path, lines: str, says: str) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(f"models:\n  tiny:\n    - url: http://127.0.0.1:1/v1\n      {lines}\n", "utf-8")
    with pytest.raises(SpecError) as caught:
        load_endpoints(file)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}:")
    assert not [word for word in ("verysecret", "123456789") if word in everything_of(caught.value)]


def test_a_key_in_a_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(f"models:\n  tiny: {{url: x, api_key: {OLD}}}\n", "utf-8")
    with pytest.raises(SpecError, match=r"api_key") as caught:
        load_endpoints(file)
    assert "verysecret" not in str(caught.value)
    with pytest.raises(SpecError, match="by reference"):
        Endpoint(url="x", api_key=OLD)


def test_the_hubs_token_is_taken_by_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from natix_cascade.models.hub import _token

    assert _token() is None
    monkeypatch.setenv("NATIX_CASCADE_HF_TOKEN", OLD)
    with pytest.raises(SecretError, match="NATIX_CASCADE_HF_TOKEN: a secret is wanted by reference") as caught:
        _token()
    assert OLD not in everything_of(caught.value)
    (tmp_path / "token").write_text(OLD, "utf-8")
    monkeypatch.setenv("NATIX_CASCADE_HF_TOKEN", f"file:{tmp_path}/token")
    assert _token() == OLD


def test_the_address_of_redis_may_be_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis")
    from natix_cascade.serve.redis_client import connect

    monkeypatch.setenv("A_URL", f"redis://me:{OLD}@127.0.0.1:7/3")
    client = connect("env:A_URL", timeout_s=0.5)
    options = client.connection_pool.connection_kwargs
    assert (options["host"], options["port"], options["db"], options["socket_timeout"]) == ("127.0.0.1", 7, 3, 0.5)
    assert OLD not in repr(options) + repr(client)
    provider = options["credential_provider"]
    assert provider.get_credentials() == ("me", OLD)
    monkeypatch.setenv("A_URL", f"redis://:{NEW}@127.0.0.1:7/3")
    assert provider.get_credentials() == (NEW,)
    for wrong, says in (
        ("", "A_URL is empty"),
        (f"http://:{OLD}@x", "begins with redis://"),
        (f"redis://:{OLD}@h:x", "cannot be read"),
    ):
        monkeypatch.setenv("A_URL", wrong)
        with pytest.raises(CascadeError, match=says) as caught:
            connect("env:A_URL")
        assert OLD not in everything_of(caught.value)


def test_a_service_says_before_it_starts_that_a_secret_is_missing() -> None:
    pytest.importorskip("redis")
    from natix_cascade.serve.options import ServeOptions
    from natix_cascade.serve.supervisor import check

    with pytest.raises(SecretError, match="A_URL is not set"):
        check(ServeOptions(redis="env:A_URL"))


def test_check_tells_all_but_the_value(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_KEY", OLD)
    file = tmp_path / "key"
    file.write_text(NEW, "utf-8")
    file.chmod(0o644)
    code, out, err = run("secrets", "check", "env:A_KEY", f"file:{file}")
    assert (code, err) == (0, "")
    assert f"ok    env:A_KEY: a value of {len(OLD)} characters in the environment variable A_KEY" in out
    assert f"a value of {len(NEW)} characters in the file {file}; every user of this machine may read it" in out
    code, out, err = run("secrets", "check", "env:A_KEY", OLD, "env:NOPE", "--json")
    told = json.loads(out)
    assert (code, err) == (1, "")
    assert [(each["ok"], each["argument"], each["reference"]) for each in told] == [
        (True, 1, "env:A_KEY"),
        (False, 2, None),
        (False, 3, "env:NOPE"),
    ]
    assert OLD not in out
    code, out, _ = run("secrets", "check", OLD)
    assert (code, OLD in out) == (1, False)
    assert out.startswith("FAIL  argument 1: a secret is wanted by reference")


@pytest.mark.observe
def test_check_and_whoami_ask_the_vault(vault: BaoServer, put: Any, run: Run) -> None:
    put("huggingface", token=OLD)
    code, out, _ = run("secrets", "check", "vault:natix/huggingface#token")
    assert code == 0
    assert f"a value of {len(OLD)} characters in the mount natix/ of the Vault at {vault.url}, version " in out
    code, out, _ = run("secrets", "check", "vault:natix/huggingface#nope")
    assert code == 1
    assert "the keys are: token" in out
    code, out, _ = run("secrets", "whoami", "--json")
    told = json.loads(out)
    assert (code, told["method"], told["policies"], told["renewable"]) == (0, "token", ["cascade", "default"], True)
    assert 0 < told["ttl_s"] <= 3600
    code, out, _ = run("secrets", "whoami")
    assert code == 0
    assert "policies   cascade, default" in out


def test_whoami_says_what_is_missing(run: Run) -> None:
    code, out, err = run("secrets", "whoami")
    assert (code, out) == (1, "")
    assert err.startswith("error: no address of a Vault: set VAULT_ADDR")
