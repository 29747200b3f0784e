"""A cascade with its policy applied: what `decide` computes with and the runner obeys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from natix_cascade.errors import SpecError
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, Question
from natix_cascade.spec.policy import Policy, Promise
from natix_cascade.spec.rules import ByLabel, Calibrator, ExitRule, Identity, Threshold, VoteSpec

__all__ = ["Level", "Member", "ResolvedCascade", "resolve", "resolve_layout"]


@dataclass(frozen=True, slots=True)
class Member:
    """One model at its place: `column` is its index among all members of the cascade."""

    column: int
    model: str
    weight: float
    calibrator: Calibrator
    band: tuple[float, float] | None
    required: bool


@dataclass(frozen=True, slots=True)
class Level:
    """One level with the policy's exit, weights and threshold filled in."""

    index: int
    name: str
    members: tuple[Member, ...]
    mode: Literal["all", "one", "until-agreement"]
    vote: VoteSpec
    weights: tuple[float, ...]  # of the vote after this level, by column: of all so far, or of its own members only
    exit: ExitRule | None
    threshold: float
    budget_ms: float | None
    on_failure: Literal["drop", "escalate", "abort"]


@dataclass(frozen=True, slots=True)
class ResolvedCascade:
    """A cascade, its cards and its policy as one object.

    Attributes
    ----------
    name, policy : str
        Names with versions, as verdicts carry them.
    question : Question
        What is asked.
    levels : tuple of Level
        In order.
    cards : dict
        Model name to card.
    deadline_ms : float or None
        Default time for one picture.
    promise : Promise or None
        What the policy promises.
    """

    name: str
    policy: str
    question: Question
    levels: tuple[Level, ...]
    cards: dict[str, ModelCard]
    deadline_ms: float | None
    promise: Promise | None = None

    @property
    def promises(self) -> dict[str, float]:
        """What is to be expected at least, by metric.

        The reference's own, less the regret that is allowed; for a plan that was made for a budget, what it was
        estimated to reach. Empty where nothing is promised.
        """
        found = self.promise
        if found is None:
            return {}
        if found.limit is not None and "reference_metric" in found.expected:
            return {found.metric: found.expected["reference_metric"] - found.limit}
        return {found.metric: found.expected["metric"]} if "metric" in found.expected else {}

    @property
    def members(self) -> tuple[Member, ...]:
        """All members in the order of their columns."""
        return tuple(member for level in self.levels for member in level.members)

    @property
    def models(self) -> tuple[str, ...]:
        """Model name by column."""
        return tuple(member.model for member in self.members)


def resolve(cascade: CascadeSpec, cards: dict[str, ModelCard], policy: Policy | None = None) -> ResolvedCascade:
    """Apply a policy to a cascade.

    Parameters
    ----------
    cascade : CascadeSpec
        The levels.
    cards : dict
        A card for each model that the cascade names.
    policy : Policy or None
        Without one, scores are taken as probabilities and the cascade's own exits hold.

    Returns
    -------
    ResolvedCascade

    Raises
    ------
    SpecError
        A card is missing, a model's answers do not fit the question, the policy was made for another cascade or for
        other weights or names models that are not there, or an exit lets pictures out with the answer that the
        decision threshold contradicts.
    """
    if policy is not None:
        if policy.labels:
            raise SpecError(
                f"policy {policy.name!r} was made from records with {len(policy.labels)} kinds of answers; a cascade "
                "answers yes or no. Use it with 'plan check' only"
            )
        cascade = replace(cascade, levels=policy.layout or cascade.levels)
    _check_cards(cascade, cards)
    if policy is not None:
        _check_policy(cascade, cards, policy)
    levels = _levels(cascade, policy)
    return ResolvedCascade(
        name=f"{cascade.name}@{cascade.version}",
        policy=f"{policy.name}@{policy.version}" if policy else "none",
        question=cascade.question,
        levels=levels,
        cards={name: cards[name] for level in levels for name in (m.model for m in level.members)},
        deadline_ms=cascade.deadline_ms,
        promise=policy.promise if policy else None,
    )


def resolve_layout(policy: Policy) -> ResolvedCascade:
    """Make a cascade of a policy that has its own levels, without cards: for replaying records, not for a runner.

    Raises
    ------
    SpecError
        The policy has no levels of its own, or they contradict each other.
    """
    if not policy.layout:
        raise SpecError(f"policy {policy.name!r} has no levels of its own; name the cascade that it was made for")
    cascade = CascadeSpec(name=policy.cascade, levels=policy.layout)
    _check_levels(cascade)
    _check_policy(cascade, {}, policy)
    return ResolvedCascade(
        name=f"{cascade.name}@{cascade.version}",
        policy=f"{policy.name}@{policy.version}",
        question=cascade.question,
        levels=_levels(cascade, policy),
        cards={},
        deadline_ms=None,
    )


def _levels(cascade: CascadeSpec, policy: Policy | None) -> tuple[Level, ...]:
    levels: list[Level] = []
    before: tuple[Member, ...] = ()
    for index, spec in enumerate(cascade.levels):
        levels.append(_level(index, spec, before, cascade, policy))
        before += levels[-1].members
    for level in levels:
        _check_exit(cascade, policy, level)
    return tuple(levels)


def _level(
    index: int, spec: LevelSpec, before: tuple[Member, ...], cascade: CascadeSpec, policy: Policy | None
) -> Level:
    own = policy.levels.get(spec.name) if policy else None
    weights = own.weights if own else {}
    calibrators = policy.calibrators if policy else {}
    default = policy.threshold if policy else cascade.threshold
    members = tuple(
        Member(
            column=len(before) + offset,
            model=member.model,
            weight=weights.get(member.model, member.weight),
            calibrator=calibrators.get(member.model, Identity()),
            band=member.band,
            required=member.required,
        )
        for offset, member in enumerate(spec.members)
    )
    voters = before + members if spec.vote.over == "all" else members
    return Level(
        index=index,
        name=spec.name,
        members=members,
        mode=spec.mode,
        vote=spec.vote,
        weights=tuple(weights.get(member.model, member.weight) for member in voters),
        exit=own.exit if own and own.exit is not None else spec.exit,
        threshold=own.threshold if own and own.threshold is not None else default,
        budget_ms=spec.budget_ms,
        on_failure=spec.on_failure,
    )


def _check_levels(cascade: CascadeSpec) -> None:
    if not cascade.levels:
        raise SpecError(f"cascade {cascade.name!r} has no levels; add at least one")
    names = [level.name for level in cascade.levels]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise SpecError(f"cascade {cascade.name!r}: level names must differ, repeated: {', '.join(sorted(repeated))}")
    if not cascade.levels[0].members:
        raise SpecError(f"cascade {cascade.name!r}: the first level {names[0]!r} has no members; add at least one")
    models = [member.model for level in cascade.levels for member in level.members]
    twice = {name for name in models if models.count(name) > 1}
    if twice:
        raise SpecError(
            f"cascade {cascade.name!r}: each model may stand in one level only, repeated: {', '.join(sorted(twice))}"
        )
    for level in cascade.levels:
        _check_bands(cascade.name, level)


def _check_cards(cascade: CascadeSpec, cards: dict[str, ModelCard]) -> None:
    _check_levels(cascade)
    for level in cascade.levels:
        if isinstance(level.exit, ByLabel):
            raise SpecError(
                f"cascade {cascade.name!r}, level {level.name!r}: the exit rule 'by_label' is for records with more "
                "than two answers; use 'threshold' with yes and no"
            )
        for member in level.members:
            card = cards.get(member.model)
            if card is None:
                known = ", ".join(sorted(cards)) or "none"
                raise SpecError(f"cascade {cascade.name!r}: no card for model {member.model!r}; known cards: {known}")
            _check_answers(cascade, card)


def _check_answers(cascade: CascadeSpec, card: ModelCard) -> None:
    wanted = cascade.question.positive
    if wanted not in card.classes:
        raise SpecError(
            f"cascade {cascade.name!r} asks for {wanted!r}, but model {card.name!r} answers "
            f"{', '.join(card.classes)}; use a model trained for this question"
        )
    if card.positive != wanted:
        raise SpecError(
            f"cascade {cascade.name!r} asks for {wanted!r}, but the scores of model {card.name!r} speak of "
            f"{card.positive!r}; write 'positive: {wanted}' in its card if its output does"
        )


def _check_bands(cascade: str, level: LevelSpec) -> None:
    if level.mode != "one":
        return
    without = [member.model for member in level.members if member.band is None]
    if without:
        raise SpecError(f"cascade {cascade!r}, level {level.name!r}: mode 'one' needs a band for {', '.join(without)}")
    for member in level.members:
        if member.band and member.band[0] >= member.band[1]:
            raise SpecError(
                f"cascade {cascade!r}, level {level.name!r}: the band of {member.model} holds nothing: "
                f"{member.band[0]} to {member.band[1]}; write [low, high] with low < high"
            )


def _check_exit(cascade: CascadeSpec, policy: Policy | None, level: Level) -> None:
    """An exit with yes below the threshold, or with no at or above it, would contradict the verdict's own rule."""
    rule = level.exit
    if not isinstance(rule, Threshold):
        return
    own = policy.levels.get(level.name) if policy else None
    by = f" (policy {policy.name!r})" if policy and own and own.exit is not None else ""
    where = f"cascade {cascade.name!r}, level {level.name!r}: its exit{by}"
    if rule.yes is not None and rule.no is not None and rule.yes <= rule.no:
        raise SpecError(f"{where} has yes {rule.yes} and no {rule.no}; yes must be above no")
    if rule.yes is not None and rule.yes < level.threshold:
        raise SpecError(
            f"{where} says yes from {rule.yes}, below the decision threshold {level.threshold}; "
            f"set yes to {level.threshold} or more, or lower the threshold"
        )
    if rule.no is not None and rule.no >= level.threshold:
        raise SpecError(
            f"{where} says no up to {rule.no}, where the decision threshold {level.threshold} says yes; "
            f"set no below {level.threshold}, or raise the threshold"
        )


def _check_policy(cascade: CascadeSpec, cards: dict[str, ModelCard], policy: Policy) -> None:
    if policy.cascade != cascade.name:
        raise SpecError(f"policy {policy.name!r} is for cascade {policy.cascade!r}, not for {cascade.name!r}")
    unknown = set(policy.levels) - {level.name for level in cascade.levels}
    if unknown:
        raise SpecError(
            f"policy {policy.name!r} sets levels that {cascade.name!r} does not have: {', '.join(sorted(unknown))}"
        )
    voters: dict[str, set[str]] = {}
    before: set[str] = set()
    for level in cascade.levels:
        members = {member.model for member in level.members}
        before |= members
        voters[level.name] = set(before) if level.vote.over == "all" else members
    for part, names, known in [
        ("calibrators", set(policy.calibrators), before),
        *((f"levels.{name}.weights", set(own.weights), voters[name]) for name, own in policy.levels.items()),
    ]:
        if names - known:
            raise SpecError(
                f"policy {policy.name!r}, {part}: {', '.join(sorted(names - known))} not there in cascade "
                f"{cascade.name!r}, which has {', '.join(sorted(known)) or 'no model'} there"
            )
    for name, digest in policy.models.items():
        if name in cards and cards[name].digest != digest:
            raise SpecError(
                f"policy {policy.name!r} was fitted with other weights of {name!r} (sha256 {digest[:12]}..., the card "
                f"says {cards[name].digest[:12]}...); fit the policy again or use the weights it names"
            )
