"""A machine's GPUs in one word."""

from __future__ import annotations

import re
from dataclasses import dataclass

from natix_cascade.errors import PlanError

__all__ = ["Gpus", "gpus_of"]

_WORD = re.compile(r"(?:(?P<count>\d+)\s*x\s*)?(?P<kind>[A-Za-z][\w.-]*?)-(?P<gb>\d+(?:\.\d+)?)\s*GB", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Gpus:
    """GPUs of one kind.

    Attributes
    ----------
    count : int
        How many.
    kind : str
        Their name.
    gb : float
        Memory of one, GB.
    """

    count: int
    kind: str
    gb: float

    def __str__(self) -> str:
        return f"{self.count}x{self.kind}-{self.gb:g}GB"


def gpus_of(text: str) -> Gpus:
    """Read ``2xH100-80GB``.

    Raises
    ------
    PlanError
        It is not of this form.
    """
    found = _WORD.fullmatch(text.strip())
    if found is None or not int(found["count"] or 1) or not float(found["gb"]):
        raise PlanError(f"{text!r} names no GPUs; write how many, which, and their memory, such as 2xH100-80GB")
    return Gpus(int(found["count"] or 1), found["kind"], float(found["gb"]))
