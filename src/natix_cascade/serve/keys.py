"""API keys: a file of hashes with scopes, and the check that each request goes through.

A key has 256 random bits, so nobody finds it by trying, and one round of SHA-256 hides it as well as a slow password
hash would; a slow hash protects secrets that people choose, and here would only cost time on each request.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from annotated_types import MaxLen, MinLen
from pydantic import AwareDatetime, StringConstraints

from natix_cascade.errors import CascadeError
from natix_cascade.files import write_whole
from natix_cascade.serve.rate import check_rate
from natix_cascade.spec.base import Spec
from natix_cascade.spec.files import read_spec

__all__ = ["Key", "KeyFile", "Keys", "Scope", "create", "key_from_headers", "revoke", "rotate"]

Scope = Literal["infer", "admin", "metrics"]

_log = logging.getLogger("natix_cascade.keys")
_FORM: Final = re.compile(r"nck_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Spec):
    """What is known of one key; never the key itself.

    Attributes
    ----------
    id : str
        Eight hexadecimal digits, also written in the key.
    sha256 : str
        Of the whole key.
    scopes : tuple of str
        What it opens: infer, admin (and all of infer), metrics.
    rate : str or None
        Its own limit, such as ``100/second``; None: the service's.
    created, expires : datetime
        With a time zone; None: it does not expire.
    note : str
        Whose it is, what for.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = field(repr=False)
    scopes: Annotated[tuple[Scope, ...], MinLen(1)]
    rate: str | None = None
    created: AwareDatetime
    expires: AwareDatetime | None = None
    note: Annotated[str, MaxLen(200)] = ""

    def opens(self, scope: Scope) -> bool:
        """Whether the key is good for a scope; admin implies infer."""
        return scope in self.scopes or (scope == "infer" and "admin" in self.scopes)

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile(Spec):
    """All keys of a service, as they are in the file."""

    keys: tuple[Key, ...] = ()

    @classmethod
    def read(cls, path: Path) -> KeyFile:
        """Read the file.

        Raises
        ------
        CascadeError
            It cannot be read, an entry is wrong, or an id is there twice.
        """
        found = read_spec(path, cls)
        ids = [key.id for key in found.keys]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise CascadeError(f"{path}: id {', '.join(twice)} is there more than once; each key has an id of its own")
        for key in found.keys:
            if key.rate is not None:
                check_rate(key.rate)
        return found

    def write(self, path: Path) -> None:
        """Write the file whole, for the owner's eyes only."""
        data = {"keys": [_plain(key) for key in self.keys]}
        write_whole(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode(), mode=0o600)


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


def create(
    path: Path,
    scopes: tuple[Scope, ...],
    *,
    rate: str | None = None,
    lifetime: timedelta | None = None,
    note: str = "",
) -> tuple[Key, str]:
    """Make a key and add it to the file, which is made if there is none.

    Returns
    -------
    Key, str
        The entry, and the key itself, which is kept nowhere.

    Raises
    ------
    CascadeError
        The file, the rate or the note is wrong.
    """
    if rate is not None:
        check_rate(rate)
    with _changing(path) as keys:
        key, text = _new(keys, scopes, rate, lifetime, note)
        keys.append(key)
    return key, text


def revoke(path: Path, name: str) -> Key:
    """Take a key out of the file; the service refuses it a second later at most.

    Raises
    ------
    CascadeError
        The file is wrong, or has no such id.
    """
    with _changing(path) as keys:
        key = _find(keys, name, path)
        keys.remove(key)
    return key


def rotate(path: Path, name: str, *, grace: timedelta, lifetime: timedelta | None = None) -> tuple[Key, Key, str]:
    """Make a key with the same scopes, rate and note under a new id; the old one expires after `grace`.

    Without a `lifetime` the new key lives as long as the old one was given.

    Returns
    -------
    Key, Key, str
        The old entry with its new end, the new entry, and the new key itself.

    Raises
    ------
    CascadeError
        The file is wrong, or has no such id.
    """
    with _changing(path) as keys:
        old = _find(keys, name, path)
        if lifetime is None and old.expires is not None:
            lifetime = old.expires - old.created
        key, text = _new(keys, old.scopes, old.rate, lifetime, old.note)
        end = _second(datetime.now(UTC) + grace)
        old = replace(old, expires=end if old.expires is None else min(end, old.expires))
        keys[:] = [old if item.id == name else item for item in keys]
        keys.append(key)
    return old, key, text


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


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """Read, change and write while nobody else does: a key that is revoked must not come back with another's change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = list(KeyFile.read(path).keys) if path.exists() else []
        yield keys
        KeyFile(keys=tuple(keys)).write(path)
    finally:
        os.close(folder)


def _new(
    keys: list[Key], scopes: tuple[Scope, ...], rate: str | None, lifetime: timedelta | None, note: str
) -> tuple[Key, str]:
    taken = {key.id for key in keys}
    name = next(name for name in iter(lambda: secrets.token_hex(4), "") if name not in taken)
    text = f"nck_{name}_{secrets.token_urlsafe(32)}"
    created = _second(datetime.now(UTC))
    key = Key(
        id=name,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        scopes=tuple(dict.fromkeys(scopes)),
        rate=rate,
        created=created,
        expires=None if lifetime is None else created + lifetime,
        note=note,
    )
    return key, text


def _find(keys: list[Key], name: str, path: Path) -> Key:
    for key in keys:
        if key.id == name:
            return key
    raise CascadeError(f"no key {name!r} in {path}; `natix-cascade keys list` shows the ids")


def _plain(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "sha256": key.sha256,
        "scopes": list(key.scopes),
        "rate": key.rate,
        "created": key.created.isoformat(),
        "expires": key.expires and key.expires.isoformat(),
        "note": key.note,
    }


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None if it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
