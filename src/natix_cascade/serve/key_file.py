"""The file of API keys: hashes with scopes, rates and ends; keys are made, rotated and revoked here.

A key has 256 random bits, so nobody finds it by trying, and one round of SHA-256 hides it as well as a slow password
hash would; a slow hash protects secrets that people choose, and here would only cost time on each request.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
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

__all__ = ["Key", "KeyFile", "Scope", "create", "revoke", "rotate"]

Scope = Literal["infer", "admin", "metrics"]

_LONGEST_NOTE: Final = 200


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
    note: Annotated[str, MaxLen(_LONGEST_NOTE)] = ""

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
    if len(note) > _LONGEST_NOTE:
        raise CascadeError(f"the note has {len(note)} characters; {_LONGEST_NOTE} at most")
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
