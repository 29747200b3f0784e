"""A command against the stored flag list: what the engine's own parser would say, and the nearest right word."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from natix_cascade.engines.concepts import called
from natix_cascade.engines.flag_lists import Flag, FlagList, flag_list, nearest
from natix_cascade.engines.mistakes import OLD_FLAGS, WRONG_VALUES
from natix_cascade.engines.words import Given, Taken, take_apart

__all__ = ["Fault", "against_list"]

_COUNT = re.compile(r"\d+(\.\d+)?[kmgt]|\d+[KMGT]?|-1|auto", re.ASCII)
_WANTED = {"int": "a whole number", "float": "a number", "json": "JSON"}
_UNKNOWN = re.compile(r"\$|\{\{")  # a shell's variable or a template: its value is not known here


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one flag, and why or what instead."""

    flag: str
    says: str


def against_list(package: str, words: Sequence[str]) -> Iterator[Fault]:
    """Check words against the stored flags of an engine's pinned release.

    Parameters
    ----------
    package : {"vllm", "sglang", "lmdeploy"}
        The engine.
    words : sequence of str
        Those after the serving command.
    """
    flags = flag_list(package)
    taken = take_apart(words, flags)
    for given in taken.flags:
        yield from _one(given, flags)
    yield from _alone(taken, flags)


def _one(given: Given, flags: FlagList) -> Iterator[Fault]:
    head, dot, _ = given.name.partition(".")
    known = flags.flags.get(head if dot and flags.engine != "sglang" else given.name)
    if known is None:
        yield Fault(given.written, _unknown(given.name, flags))
    elif dot:
        if known.kind != "json":
            yield Fault(given.written, f"{head} takes no parts after a dot")
        elif not given.values:
            yield Fault(given.written, "a value is missing")
    else:
        yield from _values(given, known, flags)


def _unknown(name: str, flags: FlagList) -> str:
    release = f"{flags.engine} {flags.version}"
    reason = OLD_FLAGS[flags.engine].get(name) or called(name, flags.engine)
    if reason is not None:
        return f"{release} has no such flag: {reason}"
    longer = sorted(known for known in flags.flags if known.startswith(name) and name.startswith("--"))
    if longer and len(name) > len("--"):
        return f"{release} has no such flag; an abbreviation may change its meaning with a release: write {longer[0]}"
    close = nearest(name, list(flags.flags))
    return f"{release} has no such flag" + (f"; did you mean {close}?" if close else "")


def _values(given: Given, known: Flag, flags: FlagList) -> Iterator[Fault]:
    count = len(given.values)
    if known.values == "0":
        if given.attached:
            yield Fault(given.written, "takes no value")
        return
    least = {"?": 0, "*": 0, "+": 1}.get(known.values)
    least = int(known.values) if least is None else least
    if given.attached and known.values.isdigit() and least > 1:
        count = 1
    if count < least:
        yield Fault(given.written, "a value is missing" if least == 1 else f"wants {least} values, {count} given")
    for value in given.values:
        if not _UNKNOWN.search(value):
            says = _value(value, known, given, flags)
            if says is not None:
                yield Fault(given.written, says)


def _value(value: str, known: Flag, given: Given, flags: FlagList) -> str | None:
    """What is wrong with a value."""
    reason = WRONG_VALUES.get((flags.engine, given.name, value))
    if reason is not None and value not in known.choices:
        return f"{value!r}: {reason}"
    allowed = known.choices or known.accepts
    if allowed:
        lowered = value.lower().replace("-", "_") if given.name.endswith("-backend") else value
        ours = value.lower() if given.name == "--quant-policy" else value
        if not {value, lowered, ours} & set(allowed):
            close = nearest(value, list(allowed), like=0.6)
            return f"{value!r} is none of {', '.join(allowed)}" + (f"; did you mean {close}?" if close else "")
        return None
    if flags.engine == "vllm" and value in {"", "None"} and known.kind != "int":
        return None
    return _kind(value, known.kind)


def _kind(value: str, kind: str) -> str | None:
    try:
        if kind == "int":
            int(value)
        elif kind == "float":
            float(value)
        elif kind == "json":
            json.loads(value)
        elif kind == "count" and not _COUNT.fullmatch(value.strip()):
            return f"{value!r} is not a number such as 4096 or 4k"
    except ValueError:
        return f"{value!r} is not {_WANTED[kind]}"
    return None


def _alone(taken: Taken, flags: FlagList) -> Iterator[Fault]:
    """Words without a flag: the model, once, and for vLLM and SGLang before all flags."""
    for word, _ in taken.alone[1:]:
        yield Fault(word, "stands alone; a flag before it takes no value, or quotes are missing")
    model = {"vllm": "--model", "sglang": "--model-path", "lmdeploy": ""}[flags.engine]
    named = taken.has("--model", "--model-path") or taken.has("--config")
    if not taken.alone and not named:
        yield Fault(model or "model_path", "no model is named; it is the first word")
    elif taken.alone and taken.alone[0][1] and flags.engine != "lmdeploy":
        yield Fault(taken.alone[0][0], "stands after flags; the model is the first word")
