"""Reading from a real OpenBao."""

# ruff: noqa: S106  # words of this test only
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bao_server import ROOT, BaoServer, free_port
from secret_checks import everything_of, wait_until

from natix_cascade.errors import SecretAwayError, SecretError
from natix_cascade.secrets import Secrets, VaultSettings

pytestmark = pytest.mark.observe
VALUE = "sk-verysecret-0123456789"

Put = Callable[..., None]
Opened = Callable[..., Secrets]


@pytest.fixture
def opened(bao: BaoServer, admin: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Secrets with a token of the policy cascade; at the end all are closed."""
    made: list[Secrets] = []

    def make(address: str = bao.url, *, timeout_s: float = 5.0, **options: Any) -> Secrets:
        token = admin.auth.token.create(policies=["cascade"], ttl="1h")["auth"]["client_token"]
        monkeypatch.setenv("VAULT_TOKEN", token)
        monkeypatch.setenv("VAULT_ADDR", address)
        settings = VaultSettings.from_environment()
        made.append(Secrets(VaultSettings(address=address, token=settings.token, timeout_s=timeout_s), **options))
        return made[-1]

    yield make
    for secrets in made:
        secrets.close()


@pytest.mark.parametrize(
    ("mount", "path"), [("natix", "first"), ("secret", "cascade/db"), ("team/natix", "deep/down/here")]
)
def test_the_mount_is_found(put: Put, opened: Opened, mount: str, path: str) -> None:
    put(path, mount, token=f" {VALUE}\n", other="x")
    secret = opened().open(f"vault:{mount}/{path}#token")
    assert secret.reveal() == VALUE
    facts = secret.facts()
    assert (facts.characters, facts.version) == (len(VALUE), 1)
    assert f"the mount {mount}/ of the Vault at http" in facts.source
    assert facts.created is not None
    assert VALUE not in repr(facts) + repr(secret) + repr(vars(secret)["_found"])


def test_where_mounts_are_not_told_the_first_part_is_the_mount(
    put: Put, opened: Opened, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("huggingface", token=VALUE)
    deny = 'path "natix/data/*" { capabilities = ["read"] }\npath "sys/internal/*" { capabilities = ["deny"] }'
    admin.sys.create_or_update_policy("blind", deny)
    secrets = opened()
    monkeypatch.setenv("VAULT_TOKEN", admin.auth.token.create(policies=["blind"])["auth"]["client_token"])
    assert secrets.open("vault:natix/huggingface#token").reveal() == VALUE


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("natix/huggingface#nope", "no key 'nope' there; the keys are: list, number, other, token"),
        ("natix/nothing#token", "nothing at nothing in natix/; bao kv put -mount=natix nothing token=-"),
        ("natix/data/huggingface#token", "write it without data/: vault:natix/huggingface#token"),
        ("natix/gone#token", "version 1 was deleted at 20"),
        ("natix/huggingface#number", "of the kind int; text is wanted"),
        ("natix/huggingface#list", "of the kind list; text is wanted"),
        ("natix/empty#token", "the value is empty"),
        ("old/thing#token", "the mount old/ is KV version 1; version 2 is wanted: bao kv enable-versioning old/"),
        (
            "secret/other/db#password",
            'forbidden; the policy needs: path "secret/data/other/db" { capabilities = ["read"] }',
        ),
        ("nowhere/db#password", "or there is no mount nowhere/: a Vault does not tell these apart"),
    ],
)
def test_what_is_wrong_is_said(put: Put, opened: Opened, admin: Any, reference: str, says: str) -> None:
    put("huggingface", token=VALUE, other="x", number=4711, list=[VALUE])
    put("empty", token=" ")
    put("gone", token=VALUE)
    admin.secrets.kv.v2.delete_latest_version_of_secret("gone", mount_point="natix")
    put("other/db", "secret", password=VALUE)
    admin.secrets.kv.v1.create_or_update_secret("thing", secret={"token": VALUE}, mount_point="old")
    secret = opened().open(f"vault:{reference}")
    with pytest.raises(SecretError) as caught:
        secret.reveal()
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"vault:{reference}: ")
    assert secret.problem == str(caught.value)
    assert not isinstance(caught.value, SecretAwayError)
    told = everything_of(caught.value)
    assert all(word not in told for word in (VALUE, "4711", ROOT))
    admin.secrets.kv.v2.delete_metadata_and_all_versions("gone", mount_point="natix")


def test_another_kind_of_mount_is_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = opened()
    monkeypatch.setenv("VAULT_TOKEN", ROOT)
    with pytest.raises(SecretError, match="of the kind 'transit'; KV version 2 is wanted"):
        secrets.open("vault:transit/keys/a#b").reveal()


def test_a_token_that_is_none_is_said_so(put: Put, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    put("huggingface", token=VALUE)
    secrets = opened()
    monkeypatch.setenv("VAULT_TOKEN", "s.wrong-and-secret")
    with pytest.raises(SecretError, match="does not take the token: it is wrong, has ended or was revoked") as caught:
        secrets.open("vault:natix/huggingface#token").reveal()
    assert "wrong-and-secret" not in everything_of(caught.value)


def test_a_vault_that_is_not_there_is_said_so(opened: Opened) -> None:
    secrets = opened(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SecretAwayError, match="cannot be reached: Connection refused; look at VAULT_ADDR") as caught:
        secrets.open("vault:natix/huggingface#token").reveal()
    assert "X-Vault-Token" not in everything_of(caught.value)
    assert caught.value.__context__ is None


def test_a_vault_that_hangs_is_said_so(bao: BaoServer, put: Put, opened: Opened) -> None:
    put("huggingface", token=VALUE)
    secrets = opened(timeout_s=0.3)
    bao.pause()
    try:
        with pytest.raises(SecretAwayError, match=r"gave no answer within 0\.3 s"):
            secrets.open("vault:natix/huggingface#token").reveal()
    finally:
        bao.go_on()
    assert secrets.open("vault:natix/huggingface#token").reveal() == VALUE


def test_a_sealed_vault_is_said_so_and_the_last_value_stays(
    bao: BaoServer, put: Put, opened: Opened, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    put("huggingface", token=VALUE)
    caplog.set_level(logging.DEBUG)
    late, secrets = opened(), opened(refresh_s=0.1)
    secret = secrets.open("vault:natix/huggingface#token")
    assert secret.reveal() == VALUE
    admin.sys.seal()
    try:
        wait_until(lambda: secret.problem is not None)
        assert secret.reveal() == VALUE
        assert "is sealed; unseal it" in secrets.problems["vault:natix/huggingface#token"]
        with pytest.raises(SecretAwayError, match="is sealed; unseal it"):
            late.open("vault:natix/huggingface#token").reveal()
        time.sleep(0.5)
    finally:
        admin.sys.submit_unseal_key(bao.unseal_key)
    wait_until(lambda: not admin.sys.read_seal_status()["sealed"])
    wait_until(lambda: secret.problem is None)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2, said
    assert "the value that was read before stays in force" in said[0]
    assert VALUE not in caplog.text


def test_a_value_is_there_at_once_while_the_vault_hangs(bao: BaoServer, put: Put, opened: Opened) -> None:
    put("huggingface", token=VALUE)
    secret = opened(refresh_s=0.05, timeout_s=1.0).open("vault:natix/huggingface#token")
    assert secret.reveal() == VALUE
    bao.pause()
    try:
        slowest = 0.0
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            began = time.monotonic()
            assert secret.reveal() == VALUE
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.005)
        assert slowest < 0.5
        assert "gave no answer" in (secret.problem or "")
    finally:
        bao.go_on()
    put("huggingface", token="another")
    wait_until(lambda: secret.reveal() == "another")


def test_many_secrets_wait_once_for_a_vault_that_hangs(bao: BaoServer, put: Put, opened: Opened) -> None:
    keys = "abcdef"
    put("many", **dict.fromkeys(keys, VALUE))
    secrets = opened(refresh_s=0.05, timeout_s=1.0)
    for key in keys:
        secrets.open(f"vault:natix/many#{key}").reveal()
    bao.pause()
    try:
        began = time.monotonic()
        wait_until(lambda: len(secrets.problems) == len(keys))
        assert time.monotonic() - began < 3.0
    finally:
        bao.go_on()
    wait_until(lambda: not secrets.problems)


def test_a_new_value_comes_by_itself(put: Put, opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    put("huggingface", token=VALUE)
    secret = opened(refresh_s=0.2).open("vault:natix/huggingface#token")
    assert secret.reveal() == VALUE
    put("huggingface", token="another-and-new")
    wait_until(lambda: secret.reveal() == "another-and-new")
    assert "another-and-new" not in caplog.text
    assert VALUE not in caplog.text
    assert "secret vault:natix/huggingface#token has changed" in caplog.text


def test_a_value_that_was_not_taken_is_read_again_at_once_but_not_too_often(put: Put, opened: Opened) -> None:
    put("huggingface", token="first")
    secret = opened(again_s=0.5).open("vault:natix/huggingface#token")
    assert secret.reveal() == "first"
    put("huggingface", token="second")
    assert secret.reveal() == "first"
    secret.invalidate()
    assert secret.reveal() == "second"
    put("huggingface", token="third")
    secret.invalidate()
    assert secret.reveal() == "second"
    time.sleep(0.5)
    secret.invalidate()
    assert secret.reveal() == "third"


def test_who_was_refused_while_another_reads_gets_the_new_value(put: Put, opened: Opened) -> None:
    put("huggingface", token="first")
    secret = opened(again_s=60.0).open("vault:natix/huggingface#token")
    secret.reveal()
    put("huggingface", token="second")
    seen: list[str] = []

    def refused() -> None:
        secret.invalidate()
        seen.append(secret.reveal())

    threads = [threading.Thread(target=refused) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["second"] * 16


def test_a_secret_that_is_forbidden_later_stays_in_force(put: Put, opened: Opened, admin: Any) -> None:
    put("huggingface", token=VALUE)
    secret = opened(refresh_s=0.1).open("vault:natix/huggingface#token")
    secret.reveal()
    admin.secrets.kv.v2.delete_metadata_and_all_versions("huggingface", mount_point="natix")
    wait_until(lambda: "nothing at huggingface" in (secret.problem or ""))
    assert secret.reveal() == VALUE


def test_the_thread_ends_and_values_stay(put: Put, opened: Opened) -> None:
    put("huggingface", token=VALUE)
    secrets = opened()
    secret = secrets.open("vault:natix/huggingface#token")
    assert not [thread for thread in threading.enumerate() if thread.name == "natix-secrets"]
    secret.reveal()
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "natix-secrets"] == [True]
    secrets.close()
    secrets.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "natix-secrets"]
    assert secret.reveal() == VALUE
    with pytest.raises(SecretError, match="were closed"):
        secrets.open("vault:natix/huggingface#other").reveal()


def test_what_is_no_vault_is_said_so(opened: Opened) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            secrets = opened(f"http://127.0.0.1:{server.server_address[1]}")
            with pytest.raises(SecretError, match="as no Vault does; look at VAULT_ADDR"):
                secrets.open("vault:natix/huggingface#token").reveal()
            assert asked
            assert "/elsewhere" not in asked  # the token goes nowhere else
            secrets.close()
        finally:
            server.shutdown()
            thread.join()
