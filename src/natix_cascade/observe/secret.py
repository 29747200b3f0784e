"""Values that configuration names by reference."""

from __future__ import annotations

import os

from natix_cascade.errors import CascadeError

__all__ = ["reveal"]


def reveal(ref: str | None) -> str | None:
    """What a reference stands for.

    Parameters
    ----------
    ref : str or None
        ``env:NAME``.

    Raises
    ------
    CascadeError
        It is no such reference, or there is no such variable.
    """
    if ref is None:
        return None
    kind, _, name = ref.partition(":")
    if kind != "env" or not name:
        raise CascadeError("a secret is named by reference: env:NAME")
    if not os.environ.get(name):
        raise CascadeError(f"the variable {name} is not set; it should hold a secret")
    return os.environ[name]
