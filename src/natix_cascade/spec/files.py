"""YAML and JSON files to validated objects, with errors that name file, line and key."""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

from natix_cascade.errors import SpecError
from natix_cascade.spec.parse import line_of, parse
from natix_cascade.spec.rules import Calibrator, ExitRule

__all__ = ["read_spec", "validate"]

T = TypeVar("T")
_Keys = tuple[int | str, ...]

_SHOWN = 60  # characters of a wrong value: one line of a terminal
_ITEMS = 10  # of a wrong value that are looked at: more do not go into the line
_SECRET = re.compile(
    r"api_?key|redis|^headers?$|authorization|(^|[_-])(key|token|secret|password)$", re.IGNORECASE
)  # names of what may be a secret, or hold one


def read_spec(path: Path, kind: type[T]) -> T:
    """Read one YAML or JSON file into an object of a spec type.

    Parameters
    ----------
    path : Path
        The file; what does not end in ``.json`` is read as YAML.
    kind : type
        A spec dataclass.

    Raises
    ------
    SpecError
        The file cannot be read, is not YAML, or does not validate; each problem with file, line and key.
    """
    document = parse(path)
    return _checked(kind, document.data, str(path), document.line)


def validate(kind: type[T], data: Any, *, source: str = "<data>", node: Any = None) -> T:
    """Validate plain data into an object of a spec type.

    Parameters
    ----------
    kind : type
        A spec dataclass.
    data : object
        Plain data.
    source : str
        Named in errors.
    node : yaml.Node or None
        The parsed document, for line numbers.

    Raises
    ------
    SpecError
        One line for each problem.
    """
    return _checked(kind, data, source, lambda keys: line_of(node, keys))


def _checked(kind: type[T], data: Any, source: str, line_at: Callable[[_Keys], int | None]) -> T:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # shipped cascades start faster without it

    def place(keys: _Keys) -> str:
        line = line_at(keys)
        return f"{source}:{line}" if line else source

    if not isinstance(data, dict):
        given = "is empty" if data is None else f"holds {type(data).__name__}"
        raise SpecError(f"{place(())}: {given}, wanted the keys of a {kind.__name__}; see docs/reference")
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        problems = dict.fromkeys(
            found for problem in error.errors(include_url=False) if (found := _told(problem, data))
        )
    raise SpecError(  # outside of the handler: pydantic's error, which holds all that was given, is not its context
        "\n".join(f"{place(keys)}: {'.'.join(map(str, keys)) or kind.__name__}: {text}" for keys, text in problems)
    )


def _told(problem: Any, data: Any) -> tuple[_Keys, str] | None:
    """Keys and sentence of one of pydantic's problems; None where it speaks of a union's member that is not meant."""
    if problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"]:
        return None  # items are wrong, each of which is told by itself; none is missing
    part: Any
    keys: list[int | str] = []
    for part in problem["loc"]:
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]
            keys.append(part)
            continue
        if part in _MEMBERS:
            tag, own, all_tags = _MEMBERS[part]
            choices = ", ".join(map(repr, all_tags))
            if not isinstance(data, dict):
                return tuple(keys), f"wanted keys, among them {tag}: one of {choices} (given: {_short(data)})"
            if tag not in data:
                return tuple(keys), f"fits no {tag}; write {tag}: one of {choices} (given: {_short(data)})"
            if data[tag] not in all_tags:
                return (*keys, tag), f"unknown {tag}; write one of {choices} (given: {_short(data[tag])})"
            if data[tag] != own:
                return None
        elif problem["type"] == "missing":
            keys.append(part)
    return tuple(keys), _sentence(problem)


def _sentence(problem: Any) -> str:
    """What is wrong, and what was given where that is no secret."""
    if problem["type"] == "value_error":  # our own words, which say all that may be said
        return str(problem["ctx"]["error"])
    message: str = problem["msg"].replace("Unexpected keyword argument", "unknown key")
    message = message.replace("a dictionary or an instance of", "the keys of")
    hidden = problem["type"] == "missing" or any(isinstance(key, str) and _SECRET.search(key) for key in problem["loc"])
    return message if hidden else f"{message} (given: {_short(problem['input'])})"


def _short(value: Any) -> str:
    """One line of a value, without ever writing all of a large one, or what may be a secret."""
    value = _without_secrets(value)
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother = 3, _SHOWN, _SHOWN
    text = brief.repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _without_secrets(value: Any, depth: int = 3) -> Any:
    """The upper levels of a value, with what may be a secret in them blotted out."""
    if depth and isinstance(value, dict):
        return {
            key: "***" if isinstance(key, str) and _SECRET.search(key) else _without_secrets(item, depth - 1)
            for key, item in list(value.items())[:_ITEMS]
        }
    if depth and isinstance(value, list):
        return [_without_secrets(item, depth - 1) for item in value[:_ITEMS]]
    return value


def _members() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Class name of each member of a union to its tag's key, its tag, and the tags of all members."""
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for tag, union in (("rule", ExitRule), ("kind", Calibrator)):
        tags = {
            member.__name__: str(field.default)
            for member in get_args(union)
            for field in dataclasses.fields(member)
            if field.name == tag
        }
        found |= {name: (tag, own, tuple(tags.values())) for name, own in tags.items()}
    return found


_MEMBERS = _members()
