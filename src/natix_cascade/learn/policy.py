"""A first policy from records: calibrators, the decision threshold and exits that follow the full ensemble."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import Progress, best_threshold, fit_platt, mcc, positive, replay
from natix_cascade.report.study import without_exits
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.policy import LevelPolicy, Policy
from natix_cascade.spec.resolved import ResolvedCascade, resolve
from natix_cascade.spec.rules import Threshold

__all__ = ["fit_policy"]

_DISAGREEMENTS = (0.0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08)
_GRID = np.concatenate([np.linspace(0.001, 0.05, 50), np.linspace(0.055, 0.945, 179), np.linspace(0.95, 0.999, 50)])


def fit_policy(
    cascade: CascadeSpec,
    cards: dict[str, ModelCard],
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    *,
    made_from: str,
    tolerance: float = 0.005,
) -> Policy:
    """Fit the policy that a cascade is shipped with until a planner makes a better one.

    Each model is calibrated (Platt); the threshold maximises the MCC of the full ensemble; then, level after level, a
    picture may leave where at most a share of those that leave on that side disagrees with the full ensemble. Of a
    few shares the cheapest is taken whose MCC is within `tolerance` of the full ensemble's. No guarantee is claimed:
    these are empirical thresholds.

    Parameters
    ----------
    cascade : CascadeSpec
        Whose levels with an exit rule get thresholds.
    cards : dict
        Of its models.
    scores : NDArray
        ``(n, M)`` raw scores of all models.
    labels : NDArray
        ``(n,)``.
    made_from : str
        Said in the policy.
    tolerance : float
        MCC that may be lost against the full ensemble.
    """
    models = [member.model for level in cascade.levels for member in level.members]
    base = Policy(
        name=cascade.name,
        cascade=cascade.name,
        calibrators={name: fit_platt(scores[:, i], labels) for i, name in enumerate(models)},
        models={name: cards[name].weights.sha256 for name in models},
        made_from=made_from,
    )
    full = replay(without_exits(resolve(cascade, cards, base)), scores)
    base = dataclasses.replace(base, threshold=round(best_threshold(full.probability, labels), 4))
    wanted = full.probability >= base.threshold
    best, cost = base, np.inf
    gmacs = np.array([cards[name].cost.gmacs for name in models])
    for share in _DISAGREEMENTS:
        policy = _with_exits(cascade, cards, base, scores, wanted, share)
        progress = replay(resolve(cascade, cards, policy), scores)
        answers = positive(resolve(cascade, cards, policy), progress)
        spent = float((progress.asked * gmacs).sum(1).mean())
        if mcc(labels, answers) >= mcc(labels, wanted) - tolerance and spent < cost:
            best, cost = policy, spent
    return best


def _with_exits(
    cascade: CascadeSpec,
    cards: dict[str, ModelCard],
    policy: Policy,
    scores: NDArray[np.float64],
    wanted: NDArray[np.bool_],
    share: float,
) -> Policy:
    """Thresholds level by level, each fitted on the pictures that reach it."""
    levels: dict[str, LevelPolicy] = {}
    for index, level in enumerate(cascade.levels):
        if not any(later.members for later in cascade.levels[index + 1 :]):
            break  # nobody is asked after this level: nothing is saved by leaving
        before = dataclasses.replace(policy, levels=levels | {level.name: LevelPolicy(exit=Threshold())})
        resolved = resolve(cascade, cards, before)
        progress = _votes_after(resolved, level.name, scores)
        levels[level.name] = LevelPolicy(exit=_exit(progress, wanted, policy.threshold, share))
    return dataclasses.replace(policy, levels=levels)


def _votes_after(cascade: ResolvedCascade, name: str, scores: NDArray[np.float64]) -> Progress:
    """Replay up to and with one level, whose own exits are closed."""
    kept: Sequence[str] = [level.name for level in cascade.levels]
    last = kept.index(name)
    return replay(dataclasses.replace(cascade, levels=cascade.levels[: last + 1]), _columns(cascade, last, scores))


def _columns(cascade: ResolvedCascade, last: int, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[:, : sum(len(level.members) for level in cascade.levels[: last + 1])]


def _exit(progress: Progress, wanted: NDArray[np.bool_], threshold: float, share: float) -> Threshold:
    """The widest exits whose leavers disagree with the full ensemble in at most this share of cases."""
    here = progress.exit_level == progress.exit_level.max()
    p, agree = progress.probability[here], wanted[here]
    no = [t for t in _GRID if t < threshold and _wrong(agree[p <= t]) <= share]
    yes = [t for t in _GRID if t >= threshold and _wrong(~agree[p >= t]) <= share]
    return Threshold(yes=round(float(min(yes)), 4) if yes else None, no=round(float(max(no)), 4) if no else None)


def _wrong(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else 0.0
