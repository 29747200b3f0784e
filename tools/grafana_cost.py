"""What answers cost, by whom and where; what the judge costs; what a month would."""

from __future__ import annotations

from typing import Any

from grafana_board import board, text_variable
from grafana_panels import Columns, View, number, sums, trend
from grafana_queries import increase, rate, ratio, zero

__all__ = ["dashboard"]

_NOW, _DAY, _RANGE = "$recent", "$before", "$__range"
_HOUR = 3600
_MONTH = 730 * _HOUR  # seconds of a twelfth of a year
_BY_CARDS = "by the models' cards, in US dollars"


def dashboard() -> Any:
    """Build it."""
    variables = [
        text_variable("recent", "recent", "Over how long rates of cost are taken", ("1h", "10m", "6h", "1d")),
        text_variable("before", "month from", "From how long the month is projected", ("1d", "6h", "7d")),
    ]
    rows = {"Now": _now(), "Over time": _over_time(), "By whom": _by_whom(), "The judge": _judge()}
    return board("Cost", "What answers and the judge cost, and what for.", variables, rows)


def _usd(over: str, name: str = "cost_usd_total") -> str:
    return zero(rate(name, over=over))


def _now() -> list[Any]:
    size = (6, 5)
    judge = "judge_cost_usd_total"
    return [
        number(
            View(
                title="Per hour",
                about=f"What answers and the judge cost an hour, {_BY_CARDS}. Above $10 of answers an alert fires; set "
                "your own limit there.",
                queries={"an hour": f"{_HOUR} * ({_usd(_NOW)} + {_usd(_NOW, judge)})"},
                unit="currencyUSD",
                size=size,
                limits=(5, 10),
            )
        ),
        number(
            View(
                title="Per 1000 pictures",
                about="What answers cost for a thousand verdicts. A policy that was made for a budget bounds it: see "
                "natix-cascade plan check. It rises with the share of late levels.",
                queries={"a thousand": f"1000 * {_per_verdict()}"},
                unit="currencyUSD",
                size=size,
                to="overview",
            )
        ),
        number(
            View(
                title="Projected month",
                about="Answers and judge, if 730 hours were like the window 'month from'. Too little while the service "
                "is younger than that.",
                queries={"a month": f"{_MONTH} * ({_usd(_DAY)} + {_usd(_DAY, judge)})"},
                unit="currencyUSD",
                size=size,
            )
        ),
        number(
            View(
                title="In the chosen time",
                about=f"What answers and the judge cost together, {_BY_CARDS}.",
                queries={
                    "together": " + ".join(zero(increase(name, over=_RANGE)) for name in ("cost_usd_total", judge))
                },
                unit="currencyUSD",
                size=size,
            ),
            over_range=True,
        ),
    ]


def _over_time() -> list[Any]:
    judge, by_level = "judge_cost_usd_total", rate("cost_usd_total", by="level", over=_NOW)
    return [
        trend(
            View(
                title="Per hour, over time",
                about="What answers and the judge cost an hour. Dashed: the limit of the alert, and half of it. More "
                "traffic, or more pictures at costly levels: the next panel tells which.",
                queries={
                    "answers": f"{_HOUR} * {_usd(_NOW)}",
                    "judge": f"{_HOUR} * {_usd(_NOW, judge)}",
                },
                unit="currencyUSD",
                limits=(5, 10),
            )
        ),
        trend(
            View(
                title="Per 1000 pictures, by level",
                about="What each level costs for a thousand verdicts of the service; all add up to the whole. One that "
                "grows: more pictures reach it.",
                queries={
                    "{{level}}": f"1000 * {ratio(by_level, rate('verdicts_total', over=_NOW), shares=True)}",
                },
                unit="currencyUSD",
            ),
            stacked=True,
        ),
        trend(
            View(
                title="Projected month, over time",
                about="Answers and judge, if 730 hours were like the window 'month from' before each moment.",
                queries={
                    "answers": f"{_MONTH} * {_usd(_DAY)}",
                    "judge": f"{_MONTH} * {_usd(_DAY, judge)}",
                },
                unit="currencyUSD",
            ),
            stacked=True,
        ),
    ]


def _by_whom() -> list[Any]:
    columns: Columns = {"share": [("unit", "percentunit"), ("decimals", 1)], "cost": [("unit", "currencyUSD")]}
    parts = increase("cost_usd_total", by="level, model", over=_RANGE)
    return [
        trend(
            View(
                title="Per hour, by model",
                about="What each model's answers cost an hour. A model without a line costs nothing by its card.",
                queries={"{{model}}": f"{_HOUR} * {rate('cost_usd_total', by='model', over=_NOW)}"},
                unit="currencyUSD",
                to="models",
            ),
            stacked=True,
        ),
        trend(
            View(
                title="Per hour, by level",
                about="What each level costs an hour. The last ones should not cost most by far: their share of exits "
                "is in the overview.",
                queries={"{{level}}": f"{_HOUR} * {rate('cost_usd_total', by='level', over=_NOW)}"},
                unit="currencyUSD",
                to="overview",
            ),
            stacked=True,
        ),
        sums(
            View(
                title="In the chosen time, by level and model",
                about="What each cost, and its share of all answers; the shares add up to 1. To save: plan a policy "
                "for a budget.",
                queries={
                    "cost": parts,
                    "share": ratio(parts, increase("cost_usd_total", over=_RANGE), shares=True),
                },
                unit="currencyUSD",
            ),
            columns,
            {},
        ),
    ]


def _judge() -> list[Any]:
    judge = "judge_cost_usd_total"
    return [
        trend(
            View(
                title="The judge, per day",
                about="What the judge cost in the day before each moment; usd_per_day of its options bounds it.",
                queries={"judge": zero(increase(judge, over=_DAY))},
                unit="currencyUSD",
                size=(12, 7),
            )
        ),
        trend(
            View(
                title="The judge, per score",
                about="What a question to the judge costs, whether it scored, abstained or failed. A rise: longer "
                "answers, or other prices.",
                queries={"per score": ratio(rate(judge, over=_NOW), rate("judge_scores_total", over=_NOW))},
                unit="currencyUSD",
                size=(12, 7),
                decimals=5,
            )
        ),
    ]


def _per_verdict() -> str:
    every = rate("verdicts_total", over=_NOW)
    return ratio(zero(rate("cost_usd_total", over=_NOW), like=every), every)
