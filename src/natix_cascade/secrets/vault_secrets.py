"""Secrets of a Vault, kept fresh by one thread: reading one costs a request only when it has never been read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from natix_cascade.errors import CascadeError, SecretAwayError, SecretError
from natix_cascade.secrets.kv import KvReader, VaultValue
from natix_cascade.secrets.reference import SecretRef
from natix_cascade.secrets.session import Holder, VaultSession
from natix_cascade.secrets.settings import VaultSettings
from natix_cascade.secrets.sources import Facts, KeptSecret

__all__ = ["VaultSecret", "VaultSecrets"]

_log = logging.getLogger("natix_cascade.secrets")
_FIRST_PAUSE_S: Final = 1.0  # after a round that failed; doubled up to the interval


class VaultSecret(KeptSecret):
    """A value at a path of a Vault; see `Secret`.

    Parameters
    ----------
    ref : SecretRef
        Where it is kept.
    keeper : VaultSecrets
        Who reads it.
    again_s : float
        Least time between two readings that `invalidate` asks for.
    """

    def __init__(self, ref: SecretRef, keeper: VaultSecrets, *, again_s: float) -> None:
        super().__init__(ref)
        self._keeper = keeper
        self._again_s = again_s
        self._found: VaultValue | None = None
        self._tried = self._asked = float("-inf")

    def reveal(self) -> str:
        """The last good value, at once; only the first time it is waited for."""
        value = self._value
        if value is None:
            with self._lock:
                error = self.refresh() if self._value is None else None
                if error is not None:
                    raise error
                value = self._value or ""
        self._keeper.begin()
        return value

    def invalidate(self) -> None:
        """See `Secret.invalidate`."""
        now = time.monotonic()
        with self._lock:
            if self._tried >= now or now - self._asked < self._again_s:
                return  # while this call waited, or just before it, somebody else has had it read
            self._asked = now
            self.refresh()

    def facts(self) -> Facts:
        """See `Secret.facts`."""
        characters = len(self.reveal())
        found = self._found
        return Facts(
            reference=str(self.ref),
            source=f"the mount {found.mount if found else ''} of the Vault at {self._keeper.address}",
            characters=characters,
            version=found.version if found else None,
            created=found.created if found else None,
        )

    def refresh(self) -> SecretError | None:
        """Read it now; returns what went wrong. An earlier value is then still in force."""
        with self._lock:
            self._tried = time.monotonic()
            try:
                found = self._keeper.read(self.ref)
            except SecretError as error:
                self._fail(error)
                return error
            self._found = found
            self._keep(found.value)
            return None

    def away(self, error: SecretAwayError) -> None:
        """Note that the Vault does not answer, without asking it once more."""
        with self._lock:
            if self._value is not None:
                self._fail(error)


class VaultSecrets:
    """All secrets of one Vault, and the thread that keeps them and the token fresh.

    Parameters
    ----------
    settings : callable
        Gives the settings when the first secret is read.
    refresh_s : float
        How old a value may become.
    again_s : float
        Least time between two readings of one value that were asked for by `VaultSecret.invalidate`.
    """

    def __init__(self, settings: Callable[[], VaultSettings], *, refresh_s: float, again_s: float) -> None:
        self._settings = settings
        self._refresh_s, self._again_s = refresh_s, again_s
        self._lock = threading.Lock()
        self._known: dict[SecretRef, VaultSecret] = {}
        self._session: VaultSession | None = None
        self._reader: KvReader | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self.address = ""

    def open(self, ref: SecretRef) -> VaultSecret:
        """The secret of a reference, always the same one."""
        with self._lock:
            if ref not in self._known:
                self._known[ref] = VaultSecret(ref, self, again_s=self._again_s)
            return self._known[ref]

    def read(self, ref: SecretRef) -> VaultValue:
        """Read a value, now.

        Raises
        ------
        SecretError
            It cannot be had.
        MissingExtraError
            hvac is not installed.
        """
        return self._begun()[1].read(ref)

    def whoami(self) -> Holder:
        """Who one is at the Vault; see `VaultSession.whoami`."""
        return self._begun()[0].whoami()

    def begin(self) -> None:
        """Start the thread where there is none: before the first value, and in a process that was forked."""
        thread = self._thread
        if (thread is not None and thread.is_alive()) or self._closing.is_set():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._go_on, name="natix-secrets", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread and the session; values that were read stay."""
        self._closing.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._lock:
            session, self._session, self._reader = self._session, None, None
        if session is not None:
            session.close()

    def _begun(self) -> tuple[VaultSession, KvReader]:
        with self._lock:
            if self._closing.is_set():
                raise SecretError("these secrets were closed; open others")
            if self._session is None or self._reader is None:
                settings = self._settings()
                self._session = VaultSession(settings)
                self._reader = KvReader(self._session)
                self.address = settings.address
            return self._session, self._reader

    def _go_on(self) -> None:
        due, pause, tend_s = time.monotonic() + self._refresh_s, _FIRST_PAUSE_S, 0.0
        while not self._closing.wait(max(0.01, min(due - time.monotonic(), tend_s))):
            try:
                tend_s = self._begun()[0].tend()
            except CascadeError as error:
                tend_s = _FIRST_PAUSE_S
                _log.debug("the Vault's token: %s", error)
            if time.monotonic() >= due:
                well = self._round()
                pause = _FIRST_PAUSE_S if well else pause
                due = time.monotonic() + (self._refresh_s if well else min(pause, self._refresh_s))
                pause = min(2 * pause, self._refresh_s)

    def _round(self) -> bool:
        """Read all again; False where the Vault is away."""
        with self._lock:
            known = list(self._known.values())
        gone: SecretAwayError | None = None
        for secret in known:
            if self._closing.is_set():
                break
            if gone is not None:
                secret.away(gone)
                continue
            try:
                error = secret.refresh()
                gone = error if isinstance(error, SecretAwayError) else None
            except Exception:  # noqa: BLE001  # whatever it is, the next round may go well; its text might tell too much
                _log.error("secret %s could not be read again", secret.ref)
        return gone is None
