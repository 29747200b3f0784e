"""Values that configuration names by reference."""

from __future__ import annotations

from natix_cascade.secrets import shared

__all__ = ["reveal"]


def reveal(ref: str | None, *, refused: bool = False) -> str | None:
    """What a reference stands for at this moment; None for none.

    Parameters
    ----------
    ref : str or None
        ``env:NAME``, ``file:PATH`` or ``vault:PATH#KEY``.
    refused : bool
        The value of before was not taken: read it again.

    Raises
    ------
    CascadeError
        It is no reference, or its value cannot be had.
    """
    if ref is None:
        return None
    secret = shared().open(ref)
    if refused:
        secret.invalidate()
    return secret.reveal()
