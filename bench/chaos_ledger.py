"""What was seen of each promise of the service, and where it was broken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PROMISES", "Ledger"]

PROMISES = {
    1: "deadline: an answer in time, never a hang, never a wrong one",
    2: "cancellation: who leaves harms nobody and leaves nothing behind",
    3: "bounded queues: refusals say when to come back",
    5: "breakers: open under a fault, closed after it",
    7: "bulkheads: a stuck late model does not touch the early ones",
    8: "drain: what is under way is finished, exit code 0",
    9: "ready: only when it can answer",
    10: "hot swap: no request is dropped, a mismatch is refused",
    11: "telemetry and Redis: their loss breaks no answer",
    12: "every verdict explains itself",
    13: "nothing acknowledged is lost",
    14: "bad requests: the right refusal, never a 500",
    15: "memory stays flat",
}
"""Promises 1 to 13 are those of the design; 4 and 6 cannot be seen from outside and have tests of their own."""

_MOST_DETAILS = 200


@dataclass(slots=True)
class Ledger:
    """Counts what was kept and keeps what was not.

    Attributes
    ----------
    kept : dict
        Promise to what was seen of it, counted.
    violations : list
        Each with its promise, its text, and details.
    counts : Counter
        Everything else: requests by kind and status.
    """

    kept: dict[int, Counter[str]] = field(default_factory=lambda: {number: Counter() for number in PROMISES})
    violations: list[dict[str, Any]] = field(default_factory=list)
    broken: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def ok(self, promise: int, what: str) -> None:
        """Count something that went as promised."""
        self.kept[promise][what] += 1

    def wrong(self, promise: int, what: str, **details: object) -> None:
        """Keep something that did not."""
        self.broken[promise] += 1
        if len(self.violations) < _MOST_DETAILS:
            self.violations.append({"promise": promise, "what": what, **details})

    def check(self, promise: int, what: str, *, good: bool, **details: object) -> bool:
        """Count it or keep it."""
        if good:
            self.ok(promise, what)
        else:
            self.wrong(promise, what, **details)
        return good

    def rows(self) -> list[list[object]]:
        """A line for each promise: what it says, times kept, times broken."""
        return [[f"{n:2} {text}", sum(self.kept[n].values()), self.broken[n]] for n, text in PROMISES.items()]

    def figures(self) -> dict[str, Any]:
        """Everything, for the file of results."""
        return {
            "promises": {
                str(number): {"promise": text, "kept": dict(self.kept[number]), "broken": self.broken[number]}
                for number, text in PROMISES.items()
            },
            "requests": {key: self.counts[key] for key in sorted(self.counts)},
            "violations": self.violations,
        }
