"""A valid token at any time: logged in when first needed, renewed before it ends, anew when it was revoked."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from natix_cascade.errors import SecretAwayError, SecretError
from natix_cascade.secrets.reference import SecretRef
from natix_cascade.secrets.settings import VaultSettings
from natix_cascade.secrets.sources import EnvironmentSecret, FileSecret
from natix_cascade.secrets.vault import Lease, RefusedError, VaultConnection

__all__ = ["Holder", "VaultSession"]

T = TypeVar("T")

_log = logging.getLogger("natix_cascade.secrets")
_FORBIDDEN: Final = 403
_RENEW_AT: Final = 2 / 3  # of a token's time
_AGAIN_S: Final = 5.0  # after a renewal that failed
_LEAST_AGE_S: Final = (
    300.0  # a token that works but may not read is replaced once it is as old: its role may do more now
)
_SHORTER: Final = 0.5  # a renewal that gives less than this of the first time nears the longest that a token may last


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What may be told of a token.

    Attributes
    ----------
    method : str
        How it was got.
    name : str
        By which the Vault shows it.
    policies : tuple of str
        What it may do.
    ttl_s : int
        Seconds that it has left; 0: it never ends.
    renewable : bool
        Whether it can be made to last longer.
    """

    method: str
    name: str
    policies: tuple[str, ...]
    ttl_s: int
    renewable: bool


class VaultSession:
    """Asks one Vault with a token that it looks after; may be used from any thread, one at a time.

    Parameters
    ----------
    settings : VaultSettings
        Where it is, and how to log in.
    """

    def __init__(self, settings: VaultSettings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._connection = VaultConnection(settings)
        self._token: str | None = None  # a given one; those of a login are known to the connection only
        self._lease: Lease | None = None
        self._first_s = 0  # how long the token lasted when it was new
        self._began = self._due = 0.0

    def ask(self, call: Callable[[VaultConnection], T]) -> T:
        """Ask with a valid token; one that is refused is replaced once, where that can be done.

        Raises
        ------
        SecretAwayError
            The Vault does not answer.
        RefusedError
            It says no.
        """
        with self._lock:
            if self._lease is None or self._ended():
                self._log_in()
            try:
                return call(self._connection)
            except RefusedError as error:
                refused = error
            if refused.status != _FORBIDDEN or not self._replaced():
                raise refused
            return call(self._connection)

    def tend(self) -> float:
        """Renew the token when two thirds of its time are over; returns the seconds until the next look."""
        with self._lock:
            left = self._due - time.monotonic()
            if self._lease is None or not self._lease.ttl_s:
                return _LEAST_AGE_S
            if left > 0:
                return left
            self._due = time.monotonic() + _AGAIN_S
            if not self._renewed():
                self._log_in()
            return max(0.0, self._due - time.monotonic())

    def whoami(self) -> Holder:
        """Ask what the Vault knows of the token.

        Raises
        ------
        SecretError
            See `ask`.
        """
        told = self.ask(VaultConnection.look_up)
        return Holder(
            method=self._settings.method,
            name=str(told.get("display_name") or ""),
            policies=tuple(map(str, told.get("policies") or ())),
            ttl_s=int(told.get("ttl") or 0),
            renewable=bool(told.get("renewable")),
        )

    def close(self) -> None:
        """End a token that was got by logging in, and close the connections."""
        with self._lock:
            if self._lease is not None and self._settings.method != "token":
                with contextlib.suppress(SecretError):
                    self._connection.revoke()
            self._lease = None
            self._connection.close()

    def _ended(self) -> bool:
        return bool(self._lease and self._lease.ttl_s and time.monotonic() - self._began >= self._lease.ttl_s)

    def _log_in(self) -> None:
        method = self._settings.method
        connection, settings = self._connection, self._settings
        mount = settings.login_mount or method
        try:
            if method == "approle" and settings.role_id and settings.secret_id:
                lease = connection.by_approle(_read(settings.role_id), _read(settings.secret_id), mount)
            elif method == "kubernetes":
                lease = connection.by_kubernetes(settings.role, _read(settings.service_token), mount)
            else:
                lease = self._given()
        except RefusedError as error:
            raise SecretError(f"logging in by {method} (auth/{mount}): {error}") from None
        self._first_s = lease.ttl_s
        self._hold(lease)
        _log.info("logged in at the Vault by %s%s", method, f" for {lease.ttl_s} s" if lease.ttl_s else "")

    def _given(self) -> Lease:
        """Take the token as it is given now, and ask how long it lasts, where it may ask that."""
        self._token = _read(self._settings.token)
        self._connection.use(self._token)
        try:
            told = self._connection.look_up()
        except RefusedError:
            return Lease()  # the first read tells whether it is good
        return Lease(int(told.get("ttl") or 0), bool(told.get("renewable")))

    def _hold(self, lease: Lease) -> None:
        self._lease, self._began = lease, time.monotonic()
        self._due = self._began + lease.ttl_s * _RENEW_AT

    def _renewed(self) -> bool:
        """Renew; False where the token cannot last longer and another must be got."""
        given = self._settings.method == "token"
        if given and self._token != _read(self._settings.token):
            return False  # whoever gives it has given another
        if self._lease is None or not self._lease.renewable:
            return given  # it lasts as long as it lasts
        try:
            lease = self._connection.renew()
        except RefusedError as error:
            _log.warning("the Vault's token is not renewed: %s", error)
            return False
        if not given and lease.ttl_s < self._first_s * _SHORTER:
            return False
        self._hold(lease)
        return True

    def _replaced(self) -> bool:
        """Get another token if the present one is dead, or old: True if there is another."""
        if self._settings.method == "token":
            if self._token == _read(self._settings.token):
                return False
        elif self._alive() and time.monotonic() - self._began < _LEAST_AGE_S:
            return False
        self._log_in()
        return True

    def _alive(self) -> bool:
        try:
            self._connection.look_up()
        except SecretAwayError:
            return True
        except RefusedError:
            return False
        return True


def _read(ref: SecretRef | None) -> str:
    if ref is None:
        raise SecretError("no way to log in at the Vault")
    return (FileSecret(ref) if ref.scheme == "file" else EnvironmentSecret(ref)).reveal()
