"""From the state of the arithmetic to verdicts that explain themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from natix_cascade.decide import Progress, confidence, mapped_probability, positive, thresholds
from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.errors import CascadeError, ModelError
from natix_cascade.spec.resolved import Level, ResolvedCascade

__all__ = ["Ended", "make_verdicts"]


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """A picture whose way through the levels has ended.

    Attributes
    ----------
    id, sha256 : str
        Which picture.
    opinions : list of Opinion
        In the order in which they were asked.
    latency_ms : float
        Of the whole way.
    notes : list of str
        Reasons that only the runner knows (a deadline); any makes the verdict degraded.
    remarks : list of str
        Reasons that do not: it was wanted so.
    """

    id: str
    sha256: str
    opinions: list[Opinion]
    latency_ms: float
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def make_verdicts(
    cascade: ResolvedCascade, progress: Progress, pictures: Sequence[Ended]
) -> list[Verdict | CascadeError]:
    """Verdicts of n pictures that have ended.

    Parameters
    ----------
    cascade : ResolvedCascade
        What was run.
    progress : Progress
        Of the n pictures.
    pictures : sequence of Ended
        The n pictures.

    Returns
    -------
    list of Verdict or ModelError
        An error for a picture about which no model said anything.
    """
    yes = positive(cascade, progress)
    probability = mapped_probability(progress.probability, thresholds(cascade, progress), yes)
    sure = confidence(probability)
    results: list[Verdict | CascadeError] = []
    for i, picture in enumerate(pictures):
        opinions, notes = picture.opinions, picture.notes
        if math.isnan(progress.probability[i]):
            failures = "; ".join(f"{o.model}: {o.failure}" for o in opinions if o.failure) or "; ".join(notes)
            results.append(ModelError(f"{picture.id}: no model answered ({failures or 'no level was reached'})"))
            continue
        level = cascade.levels[max(int(progress.exit_level[i]), 0)]
        reached = int(progress.reached[i])
        results.append(
            Verdict(
                id=picture.id,
                sha256=picture.sha256,
                question=cascade.question.id,
                detected=bool(yes[i]),
                probability=float(probability[i]),
                confidence=float(sure[i]),
                consensus_ratio=float(progress.consensus[i]),
                exit_level=level.name,
                levels_executed=tuple(item.name for item in cascade.levels[:reached]),
                opinions=tuple(opinions),
                latency_ms=picture.latency_ms,
                cost_usd=sum(o.cost_usd for o in opinions),
                gmacs=sum(o.gmacs for o in opinions),
                degraded=bool(progress.degraded[i]) or bool(notes),
                reasons=(*_reasons(cascade, progress, i, opinions), *notes, *picture.remarks),
                cascade=cascade.name,
                policy=cascade.policy,
                exit_reason=_exit_reason(cascade, progress, i, picture),
            )
        )
    return results


def _exit_reason(cascade: ResolvedCascade, progress: Progress, i: int, picture: Ended) -> str:
    """Why picture i ended where it did, in one word; see `Verdict`."""
    level = cascade.levels[max(int(progress.exit_level[i]), 0)]
    if progress.exit_side[i] and level.exit is not None:
        return level.exit.rule
    if picture.notes:
        return "deadline"
    if picture.remarks:
        return "max_level"
    return "last_level" if level.index == len(cascade.levels) - 1 else "failure"


def _reasons(cascade: ResolvedCascade, progress: Progress, i: int, opinions: list[Opinion]) -> tuple[str, ...]:
    """Why picture i ended where it did: sentences."""
    level = cascade.levels[max(int(progress.exit_level[i]), 0)]
    p, side = float(progress.probability[i]), int(progress.exit_side[i])
    question = cascade.question
    last = level.index == len(cascade.levels) - 1
    answer = question.positive if side > 0 else question.negative
    vote = f"the vote is P({question.positive}) = {p:.3f}"
    if side:
        first = f"{level.name}: {vote}, which its exit rule ({_rule(level)}) takes as '{answer}'"
    elif last:
        first = f"{level.name} is the last level: {vote}, yes begins at {level.threshold:.3f}"
    else:
        first = f"stopped at {level.name}: {vote}, yes begins at {level.threshold:.3f}"
    reasons = [first]
    skipped = [item.name for item in cascade.levels[int(progress.reached[i]) :]]
    if skipped:
        reasons.append(f"not needed: {', '.join(skipped)}" if side else f"not reached: {', '.join(skipped)}")
    reasons.extend(f"{o.model} did not answer and dropped out of the vote: {o.failure}" for o in opinions if o.failure)
    said = [(o.model, o.probability) for o in opinions if o.probability is not None]
    if len({probability >= level.threshold for _, probability in said}) > 1:
        reasons.append("the models do not agree: " + ", ".join(f"{name} {value:.2f}" for name, value in said))
    return tuple(reasons)


def _rule(level: Level) -> str:
    rule = level.exit
    if rule is None:
        return "none"
    if rule.rule == "threshold":
        parts = [f"yes from {rule.yes:.3f}"] if rule.yes is not None else []
        parts += [f"no up to {rule.no:.3f}"] if rule.no is not None else []
        return ", ".join(parts) or "closed"
    if rule.rule == "agreement":
        return f"{rule.ratio:.0%} of at least {rule.members} agree"
    if rule.rule == "window":
        return f"further than {rule.half_width:.2f} log-odds from the threshold"
    return "by label"
