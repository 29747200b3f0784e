"""Plain data (as JSON gives it) to spec objects without validation: for files that were validated before.

Validation by pydantic costs more time at start-up than the first verdict, so the package ships its own cascades in a
validated form (see ``bundle``) and builds the objects directly.
"""

from __future__ import annotations

import dataclasses
import types
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["build", "plain"]

T = TypeVar("T")


def build(kind: type[T], data: Any) -> T:
    """Build an object of a spec type from plain data that is known to be valid.

    Parameters
    ----------
    kind : type
        A spec dataclass.
    data : dict
        As `plain` returned it.
    """
    return cast("T", _build(kind, data))


def plain(value: Any) -> Any:
    """Plain dicts, lists and scalars of a spec object; what equals its default is left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if _is_tag(field.name) or getattr(value, field.name) != _default(field)
        }
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _is_tag(name: str) -> bool:
    """Whether a field tells the members of a union apart."""
    return name in {"kind", "rule"}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(kind: Any, data: Any) -> Any:
    origin = get_origin(kind)
    if origin is Annotated:
        return _build(get_args(kind)[0], data)
    if origin is Union or origin is types.UnionType:
        return _build(_member(get_args(kind), data), data) if data is not None else None
    if origin is tuple:
        inner = get_args(kind)
        kinds = inner[:1] * len(data) if len(inner) > 1 and inner[1] is Ellipsis else inner
        return tuple(_build(one, item) for one, item in zip(kinds, data, strict=True))
    if origin is dict:
        inner = get_args(kind)[1]
        return {key: _build(inner, item) for key, item in data.items()}
    if dataclasses.is_dataclass(kind):
        hints = _hints(cast("type", kind))
        return cast("Any", kind)(**{key: _build(hints[key], item) for key, item in data.items()})
    return float(data) if kind is float else data


def _member(kinds: tuple[Any, ...], data: Any) -> Any:
    """The member of a union that fits: by its tag for dataclasses, else the first that is not None."""
    choices = [kind for kind in kinds if kind is not type(None)]
    if isinstance(data, dict):
        for kind in choices:
            for tag in ("kind", "rule"):
                hint = _hints(cast("type", kind)).get(tag) if dataclasses.is_dataclass(kind) else None
                if get_origin(hint) is Literal and get_args(hint)[0] == data.get(tag):
                    return kind
    if len(choices) > 1 and isinstance(data, str) and str in choices:
        return str
    return choices[0]
