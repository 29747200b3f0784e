"""What all spec objects share."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["Spec"]


class Spec:
    """Base of the frozen dataclasses that files are validated into: unknown keys, infinity and NaN are errors."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "str_strip_whitespace": True,
        "allow_inf_nan": False,
    }
