"""Where a Vault is and how to log in there, from the environment variables that its own command line knows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from natix_cascade.errors import SecretError
from natix_cascade.secrets.reference import SecretRef

__all__ = ["VaultSettings"]

_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_NO: Final = {"", "0", "f", "false", "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    """A Vault (or OpenBao), and how to log in. What is secret of it is a reference too, read at each login.

    Attributes
    ----------
    address : str
        ``https://HOST:PORT``.
    method : {"token", "approle", "kubernetes"}
        How to log in.
    token : SecretRef or None
        Of the method token.
    role_id, secret_id : SecretRef or None
        Of the method approle.
    role : str
        Of the method kubernetes.
    service_token : SecretRef
        The service account's token, of the method kubernetes.
    login_mount : str
        Where the method is mounted; empty: where it is by default.
    namespace : str or None
        Of Vault Enterprise and OpenBao.
    authorities : str or None
        PEM file, or folder, of the authorities to trust; None: those of the system.
    timeout_s : float
        Longest wait for a connection, and for each part of an answer.

    Raises
    ------
    SecretError
        The address is none, or what the method needs is missing.
    """

    address: str
    method: Literal["token", "approle", "kubernetes"] = "token"
    token: SecretRef | None = None
    role_id: SecretRef | None = None
    secret_id: SecretRef | None = None
    role: str = ""
    service_token: SecretRef = field(default_factory=lambda: SecretRef("file", _SERVICE_ACCOUNT))
    login_mount: str = ""
    namespace: str | None = None
    authorities: str | None = None
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        _check_address(self.address)
        if self.authorities is not None and not Path(self.authorities).exists():
            raise SecretError(f"VAULT_CACERT names {self.authorities}, which is not there; give a PEM file")
        if self.method == "token" and self.token is None:
            raise SecretError(
                "a Vault is named but no way to log in: set VAULT_TOKEN, VAULT_TOKEN_FILE, VAULT_ROLE_ID with "
                "VAULT_SECRET_ID (AppRole) or VAULT_K8S_ROLE (Kubernetes)"
            )
        if self.method == "approle" and (self.role_id is None or self.secret_id is None):
            raise SecretError(
                "AppRole wants both halves: set VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_ROLE_ID_FILE and "
                "VAULT_SECRET_ID_FILE"
            )
        if self.method == "kubernetes" and not self.role:
            raise SecretError("logging in by Kubernetes wants the role: set VAULT_K8S_ROLE")

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables; of several ways to log in the first counts, in the order of the error above.

        Raises
        ------
        SecretError
            No address, no way to log in, or VAULT_SKIP_VERIFY.
        """
        address = _variable("VAULT_ADDR")
        if address is None:
            raise SecretError(
                "no address of a Vault: set VAULT_ADDR, such as https://vault.example:8200, or refer to the secret "
                "by env:NAME or file:PATH"
            )
        if os.environ.get("VAULT_SKIP_VERIFY", "").strip().lower() not in _NO:
            raise SecretError(
                "VAULT_SKIP_VERIFY would hand the token to whoever answers; unset it, and name the authority's "
                "certificate in VAULT_CACERT"
            )
        token, role_id, secret_id = map(_reference, ("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"))
        role = _variable("VAULT_K8S_ROLE") or ""
        method: Literal["token", "approle", "kubernetes"] = "token"
        if token is None and (role_id is not None or secret_id is not None):
            method = "approle"
        elif token is None and role:
            method = "kubernetes"
        elif token is None and Path("~/.vault-token").expanduser().is_file():
            token = SecretRef("file", "~/.vault-token")
        mounts = {"approle": "VAULT_APPROLE_MOUNT", "kubernetes": "VAULT_K8S_MOUNT"}
        return cls(
            address=address,
            method=method,
            token=token,
            role_id=role_id,
            secret_id=secret_id,
            role=role,
            service_token=SecretRef("file", _variable("VAULT_K8S_TOKEN_FILE") or _SERVICE_ACCOUNT),
            login_mount=(_variable(mounts[method]) if method in mounts else None) or "",
            namespace=_variable("VAULT_NAMESPACE"),
            authorities=_variable("VAULT_CACERT") or _variable("VAULT_CAPATH"),
        )


def _variable(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _reference(name: str) -> SecretRef | None:
    """A reference to a variable, or to the file that the variable with _FILE behind its name points to."""
    if _variable(name):
        return SecretRef("env", name)
    file = _variable(f"{name}_FILE")
    return SecretRef("file", str(Path(file).expanduser().absolute())) if file else None


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        plain = not parts.username and not parts.password and not parts.query and not parts.fragment
    except ValueError:
        right = plain = False
    if not right or not plain:
        raise SecretError(
            "VAULT_ADDR is no address; write such as https://vault.example:8200, with no name or word in it"
        )
