"""The ``model_card.json`` that the subnet wants in a miner's public model repository."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from natix_cascade.errors import CascadeError
from natix_cascade.files import write_whole

__all__ = ["SubnetCard", "write_card"]

FILE = "model_card.json"
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetCard:
    """What the subnet's validators read.

    Attributes
    ----------
    model_name, description : str
        Of the model.
    version : str
        ``X.Y.Z``.
    submitted_by : str
        The miner's hotkey, or a name.
    submission_time : str
        ISO 8601, UTC; by default now.
    """

    model_name: str
    description: str
    version: str
    submitted_by: str
    submission_time: str = ""

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise CascadeError(f"the version is {self.version!r}; the subnet wants three numbers, as in 1.0.0")
        for name in ("model_name", "description", "submitted_by"):
            if not getattr(self, name).strip():
                raise CascadeError(f"{name} is empty; the subnet wants all of model_name, description, submitted_by")
        if not self.submission_time:
            object.__setattr__(self, "submission_time", datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            datetime.fromisoformat(self.submission_time)
        except ValueError:
            raise CascadeError(
                f"the submission time is {self.submission_time!r}; write ISO 8601, as in 2026-01-31T12:00:00+00:00"
            ) from None


def write_card(card: SubnetCard, folder: str | Path) -> Path:
    """Write the card as ``model_card.json`` into a folder.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    return write_whole(Path(folder) / FILE, f"{json.dumps(asdict(card), indent=2, ensure_ascii=False)}\n".encode())
