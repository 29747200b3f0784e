"""References to secrets."""

from __future__ import annotations

import os
import threading
from typing import Final, Self

from natix_cascade.errors import SecretError
from natix_cascade.secrets.reference import SecretRef
from natix_cascade.secrets.session import Holder
from natix_cascade.secrets.settings import VaultSettings
from natix_cascade.secrets.sources import EnvironmentSecret, FileSecret, Secret
from natix_cascade.secrets.vault_secrets import VaultSecrets

__all__ = ["Secrets", "shared"]

_REFRESH_S: Final = 60.0
_AGAIN_S: Final = 2.0
_REFRESH_VARIABLE: Final = "NATIX_CASCADE_SECRETS_REFRESH_S"


class Secrets:
    """Opens references; may be used from any thread.

    Parameters
    ----------
    vault : VaultSettings or None
        Where the Vault is; None: as the environment says when the first of its secrets is read.
    refresh_s : float
        How old a value from a Vault may become.
    again_s : float
        Least time between two readings of one value that `Secret.invalidate` asks for.
    """

    def __init__(
        self, vault: VaultSettings | None = None, *, refresh_s: float = _REFRESH_S, again_s: float = _AGAIN_S
    ) -> None:
        if not refresh_s > 0:
            raise SecretError(f"secrets are read again every {refresh_s!r} s: give a number above 0")
        self._lock = threading.Lock()
        self._known: dict[SecretRef, Secret] = {}
        self._vault = VaultSecrets(
            VaultSettings.from_environment if vault is None else lambda: vault, refresh_s=refresh_s, again_s=again_s
        )
        self.closed = False

    def open(self, reference: str | SecretRef) -> Secret:
        """The secret of a reference; nothing is read yet.

        Raises
        ------
        SecretError
            It is no reference; what was given is not repeated.
        """
        ref = reference if isinstance(reference, SecretRef) else SecretRef.parse(reference)
        with self._lock:
            if ref not in self._known:
                self._known[ref] = self._made(ref)
            return self._known[ref]

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with which reference; empty when all is well."""
        with self._lock:
            known = list(self._known.values())
        return {str(secret.ref): problem for secret in known if (problem := secret.problem)}

    def whoami(self) -> Holder:
        """Who one is at the Vault: method, policies, time left; never the token.

        Raises
        ------
        SecretError
            It cannot be had.
        """
        return self._vault.whoami()

    def close(self) -> None:
        """End the thread and the session with the Vault; a token got by logging in is revoked."""
        self.closed = True
        self._vault.close()

    def _made(self, ref: SecretRef) -> Secret:
        if ref.scheme == "env":
            return EnvironmentSecret(ref)
        return FileSecret(ref) if ref.scheme == "file" else self._vault.open(ref)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_shared_lock = threading.Lock()
_shared: list[Secrets] = []


def shared() -> Secrets:
    """The secrets of this process, made when first asked for; after `Secrets.close` there are others.

    ``NATIX_CASCADE_SECRETS_REFRESH_S`` says how old values from a Vault may become (60).
    """
    with _shared_lock:
        if not _shared or _shared[0].closed:
            _shared[:] = [Secrets(refresh_s=_refresh())]
        return _shared[0]


def _refresh() -> float:
    text = os.environ.get(_REFRESH_VARIABLE, "").strip()
    try:
        return float(text) if text else _REFRESH_S
    except ValueError:
        raise SecretError(f"{_REFRESH_VARIABLE} is no number of seconds") from None
