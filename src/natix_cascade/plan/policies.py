"""Chains with thresholds into policies, and policies replayed on records: by the arithmetic that the runner obeys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import logit, positive, replay, sigmoid
from natix_cascade.decide.labels import replay_labels
from natix_cascade.errors import PlanError
from natix_cascade.plan.board import Board, Knowledge, Levels
from natix_cascade.plan.loss import metric_of
from natix_cascade.plan.records import Records
from natix_cascade.plan.result import Figures
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec
from natix_cascade.spec.policy import LevelPolicy, Metric, Policy, Reference
from natix_cascade.spec.resolved import ResolvedCascade, resolve_layout
from natix_cascade.spec.rules import ByLabel, ExitRule, Threshold, VoteSpec

__all__ = ["Answered", "answer", "answer_reference", "figures", "in_place", "layout_of", "reference_policy"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """How a cascade of M members answered n pictures.

    Attributes
    ----------
    answer : (n,) array of int
        Label; -1 where nobody answered.
    level : (n,) array of int
        The level at which each picture left.
    asked : (n, M) array of bool
        Who was asked, by column of the cascade.
    cascade : ResolvedCascade
        That answered.
    """

    answer: Ints
    level: Ints
    asked: NDArray[np.bool_]
    cascade: ResolvedCascade

    def cost(self, costs: Mapping[str, float]) -> Floats:
        """Cost of each picture, (n,), from the cost of one answer by model."""
        prices = np.array([costs[model] for model in self.cascade.models], dtype=np.float64)
        spent: Floats = self.asked.astype(np.float64) @ prices
        return spent

    def exit_shares(self, weight: Floats) -> dict[str, float]:
        """Share of the pictures that leave at each level, by name."""
        mass = np.bincount(self.level, weight, len(self.cascade.levels)) / weight.sum()
        return {level.name: float(mass[level.index]) for level in self.cascade.levels}


def answer(cascade: ResolvedCascade, records: Records) -> Answered:
    """Replay a cascade on records.

    Parameters
    ----------
    cascade : ResolvedCascade
        Whose models are all in the records.
    records : Records
        Of n pictures.

    Raises
    ------
    RecordsError
        A model is not in the records.
    """
    own = records.only(cascade.models)
    if own.answer is None:
        progress = replay(cascade, own.score, own.failed)
        said = np.where(np.isnan(progress.probability), -1, positive(cascade, progress))
        return Answered(said.astype(np.int64), progress.exit_level, progress.asked, cascade)
    labelled = replay_labels(cascade, own.labels, own.answer, own.score, own.failed)
    return Answered(labelled.answer, labelled.exit_level, labelled.asked, cascade)


def reference_policy(reference: Reference, labels: Sequence[str] = ()) -> Policy:
    """A reference as a policy of one level."""
    return Policy(
        name=reference.name,
        cascade="reference",
        threshold=reference.threshold,
        calibrators=reference.calibrators,
        layout=(reference.level,),
        labels=tuple(labels),
    )


def answer_reference(reference: Reference, records: Records) -> Answered:
    """Replay a reference on records."""
    return answer(resolve_layout(reference_policy(reference)), records)


def layout_of(
    board: Board, levels: Levels, borders: Sequence[Ints], models: Sequence[str], labels: Sequence[str]
) -> tuple[tuple[LevelSpec, ...], dict[str, LevelPolicy]]:
    """Write a chain with its thresholds as levels and what is set for them.

    Parameters
    ----------
    board : Board
        On which the chain was found.
    levels : Levels
        The chain, by column.
    borders : sequence of (kinds,) arrays of int
        First bin that leaves, for each level but the last.
    models, labels : sequence of str
        Names of columns and labels.
    """
    specs: list[LevelSpec] = []
    own: dict[str, LevelPolicy] = {}
    seen: tuple[int, ...] = ()
    for index, columns in enumerate(levels):
        seen += columns
        known = board.know(seen)
        weights = dict.fromkeys((models[c] for c in seen), 0.0)
        weights |= {models[c]: w for c, w in zip(known.ballot.columns, known.ballot.weights, strict=True)}
        name = " + ".join(models[c] for c in columns)
        rule = _rule(board, known, borders[index], labels) if index < len(borders) else None
        members = tuple(MemberSpec(model=models[c], weight=weights[models[c]]) for c in columns)
        specs.append(LevelSpec(name=name, members=members, vote=VoteSpec(method=known.ballot.voting, over="all")))
        own[name] = LevelPolicy(exit=rule, weights=weights, threshold=known.ballot.threshold)
    return tuple(specs), own


def _rule(board: Board, known: Knowledge, border: Ints, labels: Sequence[str]) -> ExitRule:
    """Bins back into probabilities."""
    least = [_edge(known.edges, int(first)) for first in border]
    if board.opinions.yes_no:
        threshold = known.ballot.threshold
        at = float(logit(threshold))
        no, yes = least
        return Threshold(
            yes=None if yes is None else threshold if yes <= 0 else float(sigmoid(at + yes)),
            no=None if no is None else float(np.nextafter(threshold, 0)) if no <= 0 else float(sigmoid(at - no)),
        )
    named = {label: least[board.kind_of(i)] for i, label in enumerate(labels) if board.kind_of(i)}
    return ByLabel(default=_share(least[0]), labels={label: _share(edge) for label, edge in named.items()})


def _edge(edges: Floats, first: int) -> float | None:
    """Smallest strength of a bin; None where there is no such bin."""
    if first == 0:
        return 0.0
    return float(edges[first - 1]) if first <= len(edges) else None


def _share(edge: float | None) -> float | None:
    return None if edge is None else min(max(edge, 0.0), 1.0)


def in_place(policy: Policy, cascade: CascadeSpec) -> Policy:
    """Give the levels of a planned policy the names of a cascade's own, so that it fits without a layout.

    Levels without members (a consensus) vote as the last level before them does.

    Raises
    ------
    PlanError
        The policy asks other models, in another order or grouping, or votes in another way than the cascade.
    """
    own: dict[str, LevelPolicy] = {}
    planned = list(policy.layout)
    for level in cascade.levels:
        if level.members:
            theirs = planned.pop(0) if planned else None
            if theirs is None or [m.model for m in theirs.members] != [m.model for m in level.members]:
                raise PlanError(
                    f"the plan does not have the levels of cascade {cascade.name!r}: give it levels to keep"
                )
            if theirs.vote != level.vote or level.mode != "all":
                raise PlanError(f"level {level.name!r} of {cascade.name!r} votes or asks in another way than the plan")
            last = policy.levels[theirs.name]
        own[level.name] = last if level.members else replace(last, exit=None)
    return replace(policy, cascade=cascade.name, levels=own, layout=())


def figures(own: Answered, base: Answered, records: Records, costs: Floats, metric: Metric) -> Figures:
    """What a replayed plan costs and how good it is beside a replayed reference, on the same records."""
    price = dict(zip(records.models, costs.tolist(), strict=True))
    weight = records.weight
    value = metric_of(metric, records.label, own.answer, weight)
    other = metric_of(metric, records.label, base.answer, weight)
    return Figures(
        cost=float(np.average(own.cost(price), weights=weight)),
        reference_cost=float(np.average(base.cost(price), weights=weight)),
        metric=value,
        reference_metric=other,
        regret=other - value,
        exit_shares=own.exit_shares(weight),
    )
