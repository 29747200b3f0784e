"""How a plan's figures are worded, on its page and in its picture."""

from __future__ import annotations

from dataclasses import dataclass

from natix_cascade.plan.result import Plan, Point
from natix_cascade.report.markup import number, percent
from natix_cascade.report.wording import figures
from natix_cascade.spec.policy import Metric

__all__ = ["Words", "plain", "shorten", "times"]

_UNITS = {"usd": "USD", "gmacs": "GMACs", "gflops": "GFLOPs"}
_READABLE = 0.005


@dataclass(frozen=True, slots=True)
class Words:
    """How a plan's figures read: costs of so many pictures that none is tiny, and the metric in its own way."""

    unit: str
    per: int
    metric: Metric

    @classmethod
    def of(cls, plan: Plan) -> Words:
        """Choose them for a plan."""
        costs = [cost for cost in (plan.expected.cost, *(point.cost for point in plan.points)) if cost > 0]
        fits = [per for per in (1, 1000, 1_000_000) if not costs or min(costs) * per >= _READABLE]
        return cls(_UNITS.get(plan.unit.lower(), plan.unit), fits[0] if fits else 1_000_000, plan.metric)

    @property
    def picture(self) -> str:
        """Of how many pictures a cost is: it stands after "per"."""
        return {1: "picture", 1000: "1,000 pictures"}.get(self.per, "million pictures")

    @property
    def title(self) -> str:
        """Name of the metric."""
        return {"accuracy": "accuracy", "mcc": "MCC"}.get(self.metric, self.metric)

    def amount(self, cost: float) -> str:
        """Return a cost without its unit."""
        return plain(cost * self.per)

    def cost(self, cost: float) -> str:
        """Return a cost."""
        return f"{self.amount(cost)} {self.unit}"

    def value(self, metric: float, digits: int | None = None) -> str:
        """Return a value of the metric, with so many digits of the share."""
        if self.metric == "accuracy":
            return percent(metric, 2 if digits is None else max(digits - 2, 0))
        return number(metric, 3 if digits is None else max(digits, 1))

    def interval(self, point: Point) -> str:
        """Return both ends."""
        low = self.value(point.low).removesuffix(" %")
        return f"{low} to {self.value(point.high)}"

    def gap(self, gap: float) -> str:
        """Return a difference of the metric, without its sign: points where it is an accuracy."""
        shown = abs(gap) * (100 if self.metric == "accuracy" else 1)
        text = f"{shown:.{3 if self.metric == 'accuracy' else 4}f}".rstrip("0").rstrip(".")
        return text + (" point" if text != "0" and shown <= 1 else " points") * (self.metric == "accuracy")

    def signed(self, gap: float) -> str:
        """Return a difference of the metric."""
        return ("\u2212" if gap < 0 and self.gap(gap) != self.gap(0.0) else "") + self.gap(gap)

    def worse(self, regret: float, other: str) -> str:
        """Say by how much one is worse than another."""
        if self.gap(regret) == self.gap(0.0):
            return f"as accurate as {other}" if self.metric == "accuracy" else f"equal in {self.title} to {other}"
        if self.metric == "accuracy":
            return f"{self.gap(regret)} {'less' if regret > 0 else 'more'} accurate than {other}"
        return f"{self.gap(regret)} {'lower' if regret > 0 else 'higher'} in {self.title} than {other}"

    def at_most(self, limit: float, other: str) -> str:
        """Say how much worse one may be than another."""
        if self.gap(limit) == self.gap(0.0):
            return f"not {'less accurate' if self.metric == 'accuracy' else f'lower in {self.title}'} than {other}"
        return f"at {'most' if limit > 0 else 'least'} {self.worse(limit, other)}"

    def guarantee(self, plan: Plan) -> str:
        """Say what a plan guarantees; empty where it guarantees nothing."""
        if plan.delta is None or plan.limit is None or plan.p_value is None or plan.p_value > plan.delta:
            return ""
        promise = plan.policy.promise
        each = " at every level, among the pictures that leave there" if promise and promise.conditional else ""
        bound = self.at_most(plan.limit, "").removesuffix(" than ")
        return f"certified with {plain(100 * (1 - plan.delta))} % confidence: {bound}{each}"


def plain(value: float) -> str:
    """Three significant figures without empty zeros."""
    if value >= 1000:  # noqa: PLR2004 - where commas begin
        return f"{float(f'{value:.3g}'):,.0f}" if value >= 100_000 else f"{value:,.0f}"  # noqa: PLR2004
    text = figures(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def times(cost: float, other: float, name: str = "") -> str:
    """Say how much cheaper one cost is than another (of that name); empty where there is nothing to say."""
    if cost <= 0 or other <= 0:
        return "free" if cost <= 0 < other else ""
    ratio = other / cost
    if plain(max(ratio, 1 / ratio)) == "1":
        said, link = "as costly", "as"
    else:
        said, link = (
            (f"{plain(ratio)} times cheaper", "than") if ratio > 1 else (f"{plain(1 / ratio)} times as costly", "as")
        )
    return f"{said} {link} {name}" if name else said


def shorten(text: str, letters: int) -> str:
    """Cut a text to so many letters, with dots where something is missing."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "\u2026"
