"""Events to log: not all alike, so that what is mixed up is seen."""

from __future__ import annotations

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.run.events import Call
from natix_cascade.trace import TraceContext, new_id

BEGAN = 1_790_000_000.25


def verdict(number: int = 0, *, detected: bool = True) -> Verdict:
    """One of many: its numbers follow from `number`."""
    p = 0.75 + number / 1000 if detected else 0.25 - number / 1000
    opinions = (
        Opinion("small", "fast", 0.5, 0.6, 4.5, cost_usd=1e-6, began_ms=0.5, queue_ms=0.25, batch_size=3),
        Opinion("large", "slow", None, None, 20.0, failure="it hangs", began_ms=6.0),
    )
    return Verdict(
        "my street.jpg", f"{number:064x}", "roadwork", detected, p, max(p, 1 - p), 1.0, "slow", ("fast", "slow"),
        opinions, 30.0 + number, 1e-6 * (number + 1), 0.4, True, ("large failed",), "test@1", "test@2", "failure",
    )  # fmt: skip


def call(parent: str | None = None) -> Call:
    """A request of its own."""
    name = new_id()
    return Call(name, BEGAN, TraceContext.of_request(name, parent))
