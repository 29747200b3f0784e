"""What a secret is to its users, and the two simple sources: the environment and files."""

from __future__ import annotations

import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from natix_cascade.errors import SecretError
from natix_cascade.secrets.reference import SecretRef

__all__ = ["EnvironmentSecret", "Facts", "FileSecret", "KeptSecret", "Secret"]

_log = logging.getLogger("natix_cascade.secrets")
_MOST_BYTES: Final = 64 * 1024
_SETTLED_S: Final = (
    0.1  # a file changed later than this may change once more within one tick of the file system's clock
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What may be told of a secret.

    Attributes
    ----------
    reference : str
        Where it is kept.
    source : str
        The same in words.
    characters : int
        Length of the value.
    remarks : tuple of str
        What to mend.
    version : int or None
        Of the value in a Vault.
    created : str or None
        When that version was written.
    """

    reference: str
    source: str
    characters: int
    remarks: tuple[str, ...] = ()
    version: int | None = None
    created: str | None = None


class Secret(ABC):
    """One secret; may be used from any thread.

    Take the value with `reveal` at the moment of use and let go of it: then a rotation needs no restart.

    Attributes
    ----------
    ref : SecretRef
        Where it is kept.
    """

    def __init__(self, ref: SecretRef) -> None:
        self.ref = ref

    @abstractmethod
    def reveal(self) -> str:
        """The present value, without blanks around it.

        Raises
        ------
        SecretError
            There never was one; the text says why, and what to do.
        """

    @abstractmethod
    def facts(self) -> Facts:
        """What may be told of it.

        Raises
        ------
        SecretError
            See `reveal`.
        """

    def invalidate(self) -> None:  # noqa: B027  # what is read each time has nothing to do
        """Say that the value was not taken (401, 403): it is read again at once, unless that was done just now."""

    @property
    def problem(self) -> str | None:
        """Why an earlier value is still in force, or why there is none; None: all is well."""
        return None

    def __repr__(self) -> str:
        return f"<secret {self.ref}>"


class EnvironmentSecret(Secret):
    """A variable, read each time."""

    def reveal(self) -> str:
        """The variable's value; see `Secret.reveal`."""
        value = os.environ.get(self.ref.place, "").strip()
        if not value:
            state = "is empty" if self.ref.place in os.environ else "is not set"
            raise SecretError(f"the environment variable {self.ref.place} {state}: a secret is wanted there")
        return value

    @property
    def problem(self) -> str | None:
        """See `Secret.problem`."""
        try:
            self.reveal()
        except SecretError as error:
            return str(error)
        return None

    def facts(self) -> Facts:
        """See `Secret.facts`."""
        return Facts(
            reference=str(self.ref),
            source=f"the environment variable {self.ref.place}",
            characters=len(self.reveal()),
        )


class KeptSecret(Secret):
    """A secret whose last good value stays in force while it cannot be read; that is logged once."""

    def __init__(self, ref: SecretRef) -> None:
        super().__init__(ref)
        self._lock = threading.RLock()
        self._value: str | None = None
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """See `Secret.problem`."""
        return self._problem

    def _keep(self, value: str) -> None:
        if self._problem is not None and self._value is not None:
            _log.warning("secret %s is read again", self.ref)
        elif self._value not in {None, value}:
            _log.info("secret %s has changed", self.ref)
        self._value, self._problem = value, None

    def _fail(self, error: SecretError) -> None:
        if self._problem is None and self._value is not None:
            why = str(error).removeprefix(f"{self.ref}: ")
            _log.warning("secret %s: %s; the value that was read before stays in force", self.ref, why)
        self._problem = str(error)


class FileSecret(KeptSecret):
    """The whole of a small text file, read again when the file is another or has changed."""

    def __init__(self, ref: SecretRef) -> None:
        super().__init__(ref)
        self._path = Path(ref.place).expanduser()
        self._stamp: tuple[int, ...] | None = None

    def reveal(self) -> str:
        """The file's present content; see `Secret.reveal`."""
        with self._lock:
            try:
                self._look()
            except SecretError as error:
                self._fail(error)
                if self._value is None:
                    raise
            return self._value or ""

    def invalidate(self) -> None:
        """See `Secret.invalidate`."""
        with self._lock:
            self._stamp = None

    def facts(self) -> Facts:
        """See `Secret.facts`."""
        characters = len(self.reveal())
        remarks = []
        if self._problem is None and self._path.stat().st_mode & 0o004:
            remarks.append("every user of this machine may read it: chmod 600")
        return Facts(
            reference=str(self.ref), source=f"the file {self._path}", characters=characters, remarks=tuple(remarks)
        )

    def _look(self) -> None:
        try:
            stamp = self._stamped()
            if stamp == self._stamp and self._problem is None:
                return
            with self._path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            unchanged = self._stamped() == stamp
        except OSError as error:
            raise SecretError(
                f"the file {self._path} cannot be read: {error.strerror or type(error).__name__}"
            ) from None
        if len(content) > _MOST_BYTES:
            raise SecretError(f"the file {self._path} is larger than {_MOST_BYTES} bytes: that is no secret")
        try:
            value = content.decode("utf-8").strip()
        except UnicodeDecodeError:
            value = None
        if value is None:
            raise SecretError(f"the file {self._path} is not UTF-8 text: write the secret as text")
        if not value:
            raise SecretError(f"the file {self._path} is empty: a secret is wanted there")
        self._stamp = stamp if unchanged and time.time() - stamp[1] / 1e9 > _SETTLED_S else None
        self._keep(value)

    def _stamped(self) -> tuple[int, ...]:
        about = self._path.stat()
        return about.st_ino, about.st_mtime_ns, about.st_size, about.st_dev
