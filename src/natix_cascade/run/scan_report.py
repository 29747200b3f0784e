"""What a scan tells while it runs and when it ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["ScanProgress", "ScanSummary", "ScanTime"]


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is.

    Attributes
    ----------
    done : int
        Rows on disk, those of an earlier, interrupted scan included.
    errors, yes : int
        How many of them are errors, and how many the answer yes.
    total : int or None
        Pictures of the source, where that is quickly known.
    rate : float
        Pictures a second, of this run.
    exit_shares : dict
        Share of the verdicts by the level at which they were given.
    """

    done: int
    errors: int
    yes: int
    total: int | None
    rate: float
    exit_shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class ScanTime:
    """Where the seconds of a scan went.

    Attributes
    ----------
    decode_wait : float
        Waiting for decoded pictures; decoding beside the models does not count.
    models : float
        Preparing pictures for the models and asking them.
    overhead : float
        Everything else: votes, verdicts, rows, looking for files.
    writing : float
        Waiting for the disk, and putting the output together.
    by_model : dict
        `models` by model.
    """

    decode_wait: float
    models: float
    overhead: float
    writing: float
    by_model: dict[str, float]


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a scan has done.

    Attributes
    ----------
    done, errors, yes, total, rate, exit_shares
        As in `ScanProgress`, at the end.
    skipped : int
        Rows of `done` that an earlier, interrupted scan had written.
    repeated : int
        Times that a path came again; a path has one row.
    seconds : float
        Of this run.
    time : ScanTime
        Where they went.
    output : Path
        The file.
    """

    done: int
    errors: int
    yes: int
    total: int | None
    rate: float
    exit_shares: dict[str, float]
    skipped: int
    repeated: int
    seconds: float
    time: ScanTime
    output: Path

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "output": str(self.output)}
