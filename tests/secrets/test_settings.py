# ruff: noqa: S106  # words of this test only
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from natix_cascade.errors import MissingExtraError, SecretError
from natix_cascade.secrets import SecretRef, Secrets, VaultSettings

ADDRESS = "https://vault.example:8200"


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> VaultSettings:
    for name, value in variables.items():
        monkeypatch.setenv(f"VAULT_{name}", value)
    return VaultSettings.from_environment()


def test_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, ADDR=ADDRESS, TOKEN="hvs.hush", NAMESPACE="team", SKIP_VERIFY="false")
    assert (found.method, found.token, found.namespace) == ("token", SecretRef("env", "VAULT_TOKEN"), "team")
    assert "hush" not in repr(found)


def test_a_token_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = settings(monkeypatch, ADDR=ADDRESS, TOKEN_FILE=str(tmp_path / "sink"))
    assert found.token == SecretRef("file", str(tmp_path / "sink"))


def test_the_token_that_the_command_line_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home" / ".vault-token").write_text("hvs.x", "utf-8")
    assert settings(monkeypatch, ADDR=ADDRESS).token == SecretRef("file", "~/.vault-token")
    assert settings(monkeypatch, K8S_ROLE="cascade").method == "kubernetes"


def test_approle(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, ADDR=ADDRESS, ROLE_ID="hush-1", SECRET_ID_FILE="/run/id", APPROLE_MOUNT="apps")
    assert (found.method, found.login_mount) == ("approle", "apps")
    assert (found.role_id, found.secret_id) == (SecretRef("env", "VAULT_ROLE_ID"), SecretRef("file", "/run/id"))
    assert "hush" not in repr(found)


def test_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, ADDR=ADDRESS, K8S_ROLE="cascade", K8S_MOUNT="cluster-2")
    assert (found.method, found.role, found.login_mount) == ("kubernetes", "cascade", "cluster-2")
    assert found.service_token.place == "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "set VAULT_ADDR"),
        ({"ADDR": ADDRESS}, "no way to log in: set VAULT_TOKEN"),
        ({"ADDR": ADDRESS, "ROLE_ID": "x"}, "both halves"),
        ({"ADDR": ADDRESS, "SECRET_ID": "x"}, "both halves"),
        ({"ADDR": ADDRESS, "TOKEN": "x", "SKIP_VERIFY": "1"}, "VAULT_SKIP_VERIFY would hand the token"),
        ({"ADDR": ADDRESS, "TOKEN": "x", "CACERT": "/nowhere.pem"}, "/nowhere.pem, which is not there"),
        ({"ADDR": "vault:8200", "TOKEN": "x"}, "VAULT_ADDR is no address"),
        ({"ADDR": "https://me:hunter2@vault", "TOKEN": "x"}, "VAULT_ADDR is no address"),
        ({"ADDR": "https://[", "TOKEN": "x"}, "VAULT_ADDR is no address"),
    ],
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str) -> None:
    with pytest.raises(SecretError, match=says) as caught:
        settings(monkeypatch, **variables)
    assert "hunter2" not in str(caught.value)


def test_without_hvac_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", ADDRESS)
    monkeypatch.setenv("VAULT_TOKEN", "x")
    monkeypatch.setitem(sys.modules, "hvac", None)
    with Secrets() as secrets, pytest.raises(MissingExtraError, match=r"natix-cascade\[vault\]"):
        secrets.open("vault:natix/huggingface#token").reveal()


def test_a_vault_is_not_needed_for_what_lies_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hvac", None)
    monkeypatch.setenv("A_KEY", "x")
    with Secrets() as secrets:
        assert secrets.open("env:A_KEY").reveal() == "x"
        assert repr(secrets.open("vault:natix/huggingface#token")) == "<secret vault:natix/huggingface#token>"
