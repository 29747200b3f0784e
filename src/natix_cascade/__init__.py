"""natix-cascade: is there roadwork in this street picture? Cheap models look first, costly ones where needed.

>>> from natix_cascade import Cascade
>>> verdict = Cascade.load("embedded").detect("photo.jpg")  # doctest: +SKIP
>>> verdict.detected, verdict.confidence  # doctest: +SKIP
(True, 0.98)

Everything else lies behind these names: pictures in `natix_cascade.image`, the arithmetic of decisions in
`natix_cascade.decide`, cascades as data in `natix_cascade.spec`, fakes for tests in `natix_cascade.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natix_cascade.errors import CascadeError, PictureError

if TYPE_CHECKING:
    from natix_cascade.decide.verdict import Opinion, Verdict
    from natix_cascade.run.cascade import Cascade

__all__ = ["Cascade", "CascadeError", "Opinion", "PictureError", "Verdict", "__version__"]

_LAZY = {
    "Cascade": "natix_cascade.run.cascade",
    "Opinion": "natix_cascade.decide.verdict",
    "Verdict": "natix_cascade.decide.verdict",
}


def __getattr__(name: str) -> Any:
    """Import the heavier names when they are first used: the command line starts faster."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("natix-cascade")
    if name in _LAZY:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'natix_cascade' has no attribute {name!r}")
