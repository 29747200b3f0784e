"""The words of a command, taken apart: which engine, which flags with which values, which words stand alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from natix_cascade.engines.flag_lists import Flag, FlagList

__all__ = ["Given", "Taken", "package_of", "take_apart"]

_LEADS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("vllm", "serve"), "vllm"),
    (("sglang", "serve"), "sglang"),
    (("lmdeploy", "serve", "api_server"), "lmdeploy"),
    (("-m", "vllm.entrypoints.cli.main", "serve"), "vllm"),
    (("-m", "vllm.entrypoints.openai.api_server"), "vllm"),
    (("-m", "sglang.launch_server"), "sglang"),
    (("-m", "lmdeploy", "serve", "api_server"), "lmdeploy"),
)
_IMAGES = (("vllm-openai", "vllm"),)  # images whose entry point is the serving command
_NEGATIVE = re.compile(r"-\d+$|-\d*\.\d+$")


def package_of(words: Sequence[str]) -> tuple[str, int] | None:
    """Package of the engine that a command starts, and how many words lead there; None for other commands."""
    for start, word in enumerate(words):
        for lead, package in _LEADS:
            found = (PurePath(word).name, *words[start + 1 : start + len(lead)])
            if found == lead:
                return package, start + len(lead)
        image = word.rsplit("/", 1)[-1].split(":")[0]
        for name, package in _IMAGES:
            if image == name and start:
                return package, start + 1
    return None


@dataclass(frozen=True, slots=True)
class Given:
    """A flag as it is given: its name as written, and as the engine reads it; its values, one of them after ``=``."""

    written: str
    name: str
    values: tuple[str, ...]
    attached: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A command's flags in order, and its words without a flag with the number of flags before each."""

    flags: tuple[Given, ...]
    alone: tuple[tuple[str, int], ...]

    def value(self, *names: str) -> str | None:
        """Last value given to a flag, under any of its names."""
        return next((one.values[0] for one in reversed(self.flags) if one.name in names and one.values), None)

    def has(self, *names: str) -> bool:
        """Whether a flag is given."""
        return any(one.name in names for one in self.flags)


def take_apart(words: Sequence[str], flags: FlagList) -> Taken:
    """Take the words after the serving command apart, as the engine's parser would.

    Parameters
    ----------
    words : sequence of str
        Without the words that lead to the serving command.
    flags : FlagList
        The engine's.
    """
    found: list[Given] = []
    alone: list[tuple[str, int]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not _is_flag(word):
            alone.append((word, len(found)))
            continue
        written, attached, value = _split(word, flags.engine)
        name = _as_read(written, flags.engine)
        known = flags.flags.get(name)
        values = [value] if attached else _following(rest, known, dotted="." in name)
        del rest[: 0 if attached else len(values)]
        found.append(Given(written, name, tuple(values), attached))
    return Taken(tuple(found), tuple(alone))


def _is_flag(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not _NEGATIVE.match(word) and " " not in word.partition("=")[0]


def _split(word: str, engine: str) -> tuple[str, bool, str]:
    if engine == "vllm" and (level := re.fullmatch(r"-O=?(\w+)", word)) is not None:
        return "-O", True, level[1]
    name, equals, value = word.partition("=")
    return name, bool(equals), value


def _as_read(written: str, engine: str) -> str:
    """With vLLM and LMDeploy ``--max_model_len`` is ``--max-model-len``; with vLLM ``-O3`` is a long flag too."""
    if engine == "sglang":
        return written
    if engine == "vllm" and written == "-O":
        return "--optimization-level"
    head, dot, tail = written.partition(".")
    return (f"--{head[2:].replace('_', '-')}" if head.startswith("--") else head) + dot + tail


def _following(rest: Sequence[str], known: Flag | None, *, dotted: bool) -> list[str]:
    """The words that belong to a flag."""
    words: list[str] = []
    for word in rest:
        if _is_flag(word):
            break
        words.append(word)
    if dotted:
        return words[:1]
    if known is None:
        return words  # nobody knows; they are no words of the command's own
    if known.values in {"+", "*"}:
        return words
    return words[: 1 if known.values == "?" else int(known.values)]
