"""Values of references to secrets."""

from __future__ import annotations

import os

from natix_cascade.errors import SpecError

__all__ = ["reveal"]


def reveal(ref: str | None) -> str | None:
    """The value of a reference, read anew each time.

    Parameters
    ----------
    ref : str or None
        ``env:NAME``; None has no value.

    Raises
    ------
    SpecError
        It is no reference, or there is no such variable; the text never repeats a value.
    """
    if ref is None:
        return None
    kind, _, name = ref.partition(":")
    if kind != "env" or not name:
        raise SpecError("a secret is given by reference, as env:NAME; what was given is none")
    value = os.environ.get(name, "").strip()
    if not value:
        raise SpecError(f"the environment variable {name} is not set; it was to hold a secret")
    return value
