"""The stored flag lists of the pinned releases; ``tools/engine_flags.py`` writes them."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from natix_cascade.engines.facts import VERSIONS

__all__ = ["Flag", "FlagList", "flag_list", "nearest"]

FOLDER = Path(__file__).parent / "flags"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of an engine.

    Attributes
    ----------
    names : tuple of str
        All its spellings.
    values : str
        How many words follow: ``0``, ``1``, ``?`` (none or one), ``+`` (one or more), ``*``, or a number.
    kind : str
        ``text``, ``int``, ``float``, ``count`` (``4k`` too) or ``json``.
    choices : tuple of str
        What the parser takes, if it looks at all.
    accepts : tuple of str
        What the engine takes, where it looks only after parsing.
    required : bool
        Cannot be left out.
    """

    names: tuple[str, ...]
    values: str
    kind: str
    choices: tuple[str, ...]
    accepts: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class FlagList:
    """All flags of an engine's serving command.

    Attributes
    ----------
    engine, version : str
        Which release.
    how : dict
        How the list was made.
    flags : dict
        Every spelling to its flag.
    positional : tuple of Flag
        Words without a flag, in order.
    environment : frozenset of str
        Variables with the engine's prefix that occur in its sources.
    """

    engine: str
    version: str
    how: dict[str, Any]
    flags: dict[str, Flag]
    positional: tuple[Flag, ...]
    environment: frozenset[str]


@cache
def flag_list(package: str) -> FlagList:
    """The stored list of the pinned release of ``vllm``, ``sglang`` or ``lmdeploy``."""
    data = json.loads((FOLDER / f"{package}-{VERSIONS[package]}.json").read_text("utf-8"))
    flags = [_flag(entry) for entry in data["flags"]]
    return FlagList(
        engine=data["engine"],
        version=data["version"],
        how=data["made"],
        flags={name: flag for flag in flags for name in flag.names},
        positional=tuple(_flag(entry) for entry in data["positional"]),
        environment=frozenset(data["environment"]),
    )


def nearest(word: str, known: list[str], *, like: float = 0.72) -> str | None:
    """The known word that is most like a mistyped one, if any is."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=like)
    if found:
        return found[0]
    parts = set(re.findall(r"[a-z0-9]+", word.lower()))
    best = max(known, key=lambda one: len(parts & set(re.findall(r"[a-z0-9]+", one.lower()))), default=None)
    shared = parts & set(re.findall(r"[a-z0-9]+", (best or "").lower()))
    return best if len(shared) > 1 else None


def _flag(entry: dict[str, Any]) -> Flag:
    return Flag(
        names=tuple(entry["names"]),
        values=str(entry["values"]),
        kind=entry.get("type", "text"),
        choices=tuple(entry.get("choices", ())),
        accepts=tuple(entry.get("accepts", ())),
        required=entry.get("required", False),
    )
