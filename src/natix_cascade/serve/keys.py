"""The check of API keys that each request goes through, and where a request carries its key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from natix_cascade.errors import CascadeError
from natix_cascade.serve.key_file import Key, KeyFile, Scope

__all__ = ["Key", "Keys", "Scope", "key_from_headers"]

_log = logging.getLogger("natix_cascade.keys")
_FORM: Final = re.compile(r"nck_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_LOOK_S: Final = 1.0


class Keys:
    """Checks keys against a file that may change while the service runs.

    The file is looked at once a second at most, so that keys are made, rotated and revoked without a restart. A file
    that has become unreadable or wrong is reported once, and the last good one stays in force: it never falls open.

    Parameters
    ----------
    path : str, Path or None
        The file. None: no keys are wanted, and none is valid.
    clock : callable
        Seconds that never run backwards: when the file is looked at.
    now : callable
        The time, with its zone: whether a key has expired.

    Raises
    ------
    CascadeError
        The file cannot be read at the start.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = None if path is None else Path(path)
        self._clock = clock
        self._now = now
        self._looked = clock()
        self._keys: dict[str, Key] = {}
        self._seen: tuple[int, int, int] | None = None
        self._nobody = Key(id="0" * 8, sha256=secrets.token_hex(32), scopes=("infer",), created=now())
        if self._path is not None:
            self._seen = _signature(self._path)
            self._keys = {key.id: key for key in KeyFile.read(self._path).keys}

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        return self._path is not None

    def check(self, text: str) -> Key | None:
        """The key that a text is, or None if it is unknown, wrong or expired.

        The comparison takes as long for an unknown id as for a wrong secret.
        """
        self._refresh()
        match = _FORM.fullmatch(text)
        known = self._keys.get(match[1], self._nobody) if match else self._nobody
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
        right = hmac.compare_digest(digest, known.sha256)
        return known if right and known is not self._nobody and not known.expired(self._now()) else None

    def _refresh(self) -> None:
        if self._path is None or self._clock() - self._looked < _LOOK_S:
            return
        self._looked = self._clock()
        seen = _signature(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = {key.id: key for key in KeyFile.read(self._path).keys}
        except CascadeError as error:
            _log.error("the keys of before stay in force: %s", error)  # one line, no traceback
            return
        _log.info("read %d keys from %s", len(self._keys), self._path)


def key_from_headers(authorization: str | None, x_api_key: str | None) -> str | None:
    """The key that a request carries.

    Parameters
    ----------
    authorization, x_api_key : str or None
        The headers. ``X-API-Key`` goes first; else ``Bearer KEY``, or ``Basic`` with the key as password.

    Returns
    -------
    str or None
        Not checked in any way; None if neither header holds one.
    """
    if x_api_key is not None and x_api_key.strip():
        return x_api_key.strip()
    scheme, _, rest = (authorization or "").strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer":
            return rest or None
        case "basic":
            try:
                text = base64.b64decode(rest, validate=True).decode()
            except (binascii.Error, ValueError):
                return None
            return text.partition(":")[2] or None
        case _:
            return None


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None if it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
