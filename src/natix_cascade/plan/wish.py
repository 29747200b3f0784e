"""What can be asked of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from natix_cascade.errors import PlanError
from natix_cascade.plan.votes import Voting
from natix_cascade.spec.policy import Metric

__all__ = ["Wish"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a plan.

    Attributes
    ----------
    max_regret : float or None
        The cheapest plan whose regret is at most this, by what the records show.
    risk : float or None
        The cheapest plan of which it is certified that its true regret is at most this.
    budget : float or None
        The best plan whose mean cost is at most this.
    delta : float
        For `risk`: largest probability that the certificate is wrong.
    reference : str
        ``best`` (single model), a model's name, ``vote`` (of all) or ``vote:a,b,c``.
    metric : {"accuracy", "mcc", "reward"}
        In which regret is measured.
    unit : str or None
        Of cost and budget; default: the records' own.
    latency_ms : float or None
        Bound on the time of a picture that goes through all levels.
    conditional : bool
        With `risk`: certify it also among the pictures that leave at each level.
    prevalence : float or None
        Share of yes among the pictures to come; the records are reweighed to it.
    voting : {"log_odds", "mean"} or None
        Method of all votes; default: log_odds for yes/no records, mean for others.
    levels : tuple of tuple of str
        Take this chain instead of searching one.
    seed : int
        Of folds, splits and draws.
    """

    max_regret: float | None = None
    risk: float | None = None
    budget: float | None = None
    delta: float = 0.1
    reference: str = "best"
    metric: Metric = "accuracy"
    unit: str | None = None
    latency_ms: float | None = None
    conditional: bool = False
    prevalence: float | None = None
    voting: Voting | None = None
    levels: tuple[tuple[str, ...], ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        given = [name for name in ("max_regret", "risk", "budget") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PlanError(
                f"a plan needs one aim, not {len(given)} ({', '.join(given) or 'none given'}): max_regret (as the "
                "records show), risk (with a guarantee) or budget"
            )
        for name, known in (("metric", get_args(Metric)), ("voting", (None, *get_args(Voting)))):
            if getattr(self, name) not in known:
                names = ", ".join(str(item) for item in known if item is not None)
                raise PlanError(f"{name} is {getattr(self, name)!r}, but one of {names} is needed")
        if any(not level for level in self.levels):
            raise PlanError("a level of the chain has no models; write levels as 'a > b + c'")
        if not 0 < self.delta < 1:
            raise PlanError(f"delta is {self.delta}, but a probability between 0 and 1 is needed")
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise PlanError(f"prevalence is {self.prevalence}, but a share between 0 and 1 is needed")
        if self.conditional and (self.risk is None or self.metric != "accuracy"):
            raise PlanError("conditional needs risk, and accuracy as the metric")
