"""YAML and JSON files to validated objects, with errors that name file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from natix_cascade.errors import SpecError

__all__ = ["read_spec", "validate"]

T = TypeVar("T")
_MAX_BYTES = 4 * 1024 * 1024


def read_spec(path: Path, kind: type[T]) -> T:
    """Read one YAML or JSON file into an object of a spec type.

    Parameters
    ----------
    path : Path
        The file (JSON is read as the YAML it is).
    kind : type
        A spec dataclass.

    Raises
    ------
    SpecError
        The file cannot be read, is not YAML, or does not validate; each problem with file, line and key.
    """
    import yaml  # noqa: PLC0415  # not needed for shipped cascades, which start faster without it

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SpecError(f"{path}: larger than {_MAX_BYTES} bytes; a card, cascade or policy is a small text file")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as text: {error}") from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise SpecError(f"{path}{line}: not valid YAML: {problem}") from error
    repeated = _repeated(node)
    if repeated:
        raise SpecError("\n".join(f"{path}:{line}: {key}: given twice; keep one" for line, key in repeated))
    return validate(kind, data, source=str(path), node=node)


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
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # as above

    if not isinstance(data, dict):
        raise SpecError(
            f"{source}: holds {type(data).__name__}, wanted the keys of a {kind.__name__}; see docs/reference"
        )
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            keys = _keys(problem["loc"], data)
            line = _line(node, keys)
            where = f"{source}:{line}" if line else source
            given = "" if problem["type"] == "missing" else f" (given: {_short(problem['input'])})"
            message = problem["msg"].replace("Unexpected keyword argument", "unknown key")
            lines.append(f"{where}: {'.'.join(map(str, keys)) or kind.__name__}: {message}{given}")
        raise SpecError("\n".join(dict.fromkeys(lines))) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004  # one line of a terminal


def _keys(location: tuple[int | str, ...], data: Any) -> tuple[int | str, ...]:
    """A pydantic location without the names of union members, which stand in no file."""
    keys: list[int | str] = []
    for part in location:
        inside = isinstance(data, dict) and part in data
        if isinstance(data, list) and isinstance(part, int) and part < len(data):
            inside = True
        if inside:
            data = data[part]
            keys.append(part)
        elif part == location[-1]:
            keys.append(part)
    return tuple(keys)


def _line(node: Any, keys: tuple[int | str, ...]) -> int | None:
    """Line (from 1) of the deepest key that exists in the document."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    for key in keys:
        children = node.value if isinstance(node.value, list) else []
        if isinstance(key, int):
            if key >= len(children):
                break
            node = children[key]
            line = node.start_mark.line + 1
            continue
        for child in children:
            if isinstance(child, tuple) and child[0].value == key:
                line, node = child[0].start_mark.line + 1, child[1]
                break
        else:
            break
    return int(line)


def _repeated(node: Any) -> list[tuple[int, str]]:
    """Keys that stand twice in one mapping: (line, key)."""
    found: list[tuple[int, str]] = []
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
    return found
