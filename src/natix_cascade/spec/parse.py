"""Text of a YAML or JSON file to plain data that knows the line of each key.

YAML's values are read as YAML 1.2 has them: ``yes``, ``no`` and ``on`` are words (and keys of exit rules), dates are
words, ``1e-05`` is a number. JSON is read by Python's own reader, because not all JSON is YAML (tabs, surrogate pairs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from natix_cascade.errors import SpecError

__all__ = ["Document", "line_of", "parse"]

_MAX_BYTES = 4 * 1024 * 1024
_TAG = "tag:yaml.org,2002:"
_FLOAT = (
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_PLAIN = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", _FLOAT, "-+0123456789."),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^<<$", "<"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds.

    Attributes
    ----------
    data : object
        Plain data.
    line : callable
        Keys from the top to the line (from 1) of the deepest one that exists, or None.
    """

    data: Any
    line: Callable[[tuple[int | str, ...]], int | None]


def parse(path: Path) -> Document:
    """Read a file; ``.json`` as JSON, all others as YAML.

    Raises
    ------
    SpecError
        The file cannot be read, is too large, is not UTF-8, not YAML or JSON, repeats a key, or its aliases expand
        without end; with the line.
    """
    text = _text(path)
    return _parse_json(path, text) if path.suffix.lower() == ".json" else _parse_yaml(path, text)


def line_of(node: Any, keys: tuple[int | str, ...]) -> int | None:
    """Line (from 1) of the deepest key that exists under a YAML node."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    for key in keys:
        children = node.value if isinstance(node.value, list) else []
        if node.id == "sequence":
            if not isinstance(key, int) or key >= len(children):
                break
            node = children[key]
            line = node.start_mark.line + 1
            continue
        found = next((child for child in children if child[0].value == str(key)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return int(line)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(raw) > _MAX_BYTES:
        raise SpecError(f"{path}: larger than {_MAX_BYTES} bytes; a card, cascade or policy is a small text file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"{path}:{line}: cannot be read as text: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from error


def _parse_json(path: Path, text: str) -> Document:
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            names = [key for key, _ in items]
            repeated.extend(key for key in found if names.count(key) > 1)
        return found

    @cache
    def node() -> Any:
        return _json_node(text)

    try:
        data = json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse) if text.strip() else None
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not valid JSON: {_plainly(error)}") from error
    if repeated:
        _complain(path, _repeated(node()) or [(None, key) for key in repeated])
    return Document(data, lambda keys: line_of(node(), keys))


def _json_node(text: str) -> Any:
    """JSON as a YAML node, for line numbers only; None where YAML does not take it."""
    import yaml  # noqa: PLC0415  # needed only to name a line

    try:
        return yaml.compose(text.replace("\t", " "), Loader=_loader())
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _parse_yaml(path: Path, text: str) -> Document:
    import yaml  # noqa: PLC0415  # not needed for shipped cascades, which start faster without it

    try:
        loader = _loader()(text)
        node = loader.get_single_node()
        _weigh(path, node)
        repeated = _repeated(node)  # before the constructor, which writes merged keys into the nodes
        if repeated:
            _complain(path, repeated)
        data = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
        line = mark.line + 1 if mark else text.count("\n", 0, position) + 1 if position is not None else None
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or _plainly(error)
        raise SpecError(f"{path}{f':{line}' if line else ''}: not valid YAML: {problem}") from error
    return Document(data, lambda keys: line_of(node, keys))


def _plainly(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _complain(path: Path, repeated: list[tuple[int | None, str]]) -> None:
    where = [(f"{path}:{line}" if line else str(path), key) for line, key in repeated]
    raise SpecError("\n".join(f"{place}: {key}: given twice; keep one" for place, key in where))


@cache
def _loader() -> Any:
    """A safe loader that takes plain values as YAML 1.2 does."""
    import yaml  # noqa: PLC0415  # see `_parse_yaml`

    kind: Any = type("PlainLoader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {}})
    for name, pattern, first in _PLAIN:
        kind.add_implicit_resolver(_TAG + name, re.compile(pattern), list(first))
    return kind


def _weigh(path: Path, top: Any) -> None:
    """Refuse aliases that, written out, would be larger than a file may be ("billion laughs") or never end."""
    sizes: dict[int, int | None] = {}  # None: being weighed

    def weigh(node: Any) -> int:
        if id(node) in sizes:
            size = sizes[id(node)]
            if size is None:
                raise SpecError(f"{path}:{node.start_mark.line + 1}: an anchor holds itself; write the values out")
            return size
        if not isinstance(node.value, list):
            return 1 + len(node.value)
        sizes[id(node)] = None
        size = 1
        for child in node.value:
            size += sum(map(weigh, child)) if isinstance(child, tuple) else weigh(child)
        if size > _MAX_BYTES:
            raise SpecError(
                f"{path}:{node.start_mark.line + 1}: its aliases, written out, make more than {_MAX_BYTES} characters"
            )
        sizes[id(node)] = size
        return size

    if top is not None:
        weigh(top)


def _repeated(node: Any) -> list[tuple[int | None, str]]:
    """Keys that stand twice in one mapping: (line, key)."""
    found: list[tuple[int | None, str]] = []
    stack, seen_nodes = [node], set()
    while stack:
        one = stack.pop()
        if one is None or id(one) in seen_nodes or not isinstance(one.value, list):
            continue
        seen_nodes.add(id(one))
        seen: set[str] = set()
        for child in one.value:
            if isinstance(child, tuple):
                key = str(child[0].value)
                if key in seen:
                    found.append((child[0].start_mark.line + 1, key))
                seen.add(key)
                stack.append(child[1])
            else:
                stack.append(child)
    return sorted(found, key=lambda item: item[0] or 0)
