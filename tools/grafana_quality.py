"""Whether the verdicts are as good as promised, and given as they were before."""

from __future__ import annotations

from typing import Any

from grafana_board import board, text_variable, values_of
from grafana_panels import View, bar_gauge, heat_map, trend
from grafana_queries import LEVEL, increase, mean, quantile, rate, ratio, zero
from grafana_truth import calibration, judge, truth

__all__ = ["dashboard"]

_NOW = "$recent"
_BEFORE = "$before"


def dashboard() -> Any:
    """Build it."""
    variables = [
        values_of("level", "level", "verdicts_total", "Levels of the cascade; confidence only"),
        text_variable("recent", "recent", "Drift: the window that is looked at", ("30m", "10m", "1h", "6h", "1d")),
        text_variable("before", "before", "Drift: the window before it, that it is compared with", ("1d", "7d", "30d")),
        text_variable("truth", "truth", "Feedback: over how long it is counted", ("30d", "7d", "1d", "90d")),
    ]
    rows = {
        "Confidence": _confidence(),
        "Confidence, each level": [_each_level()],
        "Agreement": _agreement(),
        "Drift": _drift(),
        "Truth, as feedback tells it": truth(),
        "Calibration": calibration(),
        "The judge": judge(),
    }
    about = "How sure verdicts are, how far models agree, what has changed, what feedback and the judge say."
    return board("Quality", about, variables, rows)


def _confidence() -> list[Any]:
    about = "Probability of the answer that was given"
    return [
        trend(
            View(
                title="Mean confidence by level",
                about=f"{about}. A fall without a new policy: pictures of another kind, or a model that changed.",
                queries={"{{level}}": mean("confidence", LEVEL, by="level")},
                unit="percentunit",
                most=1,
            )
        ),
        trend(
            View(
                title="The least sure tenth, by level",
                about=f"{about}: one verdict in ten is less sure than this. Near 50 % at the last: hard pictures; "
                "export some and label them.",
                queries={"{{level}}": quantile(0.1, "confidence", LEVEL, by="level")},
                unit="percentunit",
                most=1,
            )
        ),
        bar_gauge(
            View(
                title="Confidence, over the range",
                about=f"Verdicts by {about[0].lower()}{about[1:]}, up to each bound, over the time and levels chosen.",
                queries={"{{le}}": increase("confidence_bucket", LEVEL, by="le", over="$__range")},
                unit="short",
                decimals=0,
            ),
            histogram=True,
        ),
    ]


def _each_level() -> Any:
    return heat_map(
        View(
            title="$level",
            about="Verdicts of this level by the probability of the answer that was given. A band that moves: drift; "
            "compare it with Exits by level.",
            queries={"{{le}}": increase("confidence_bucket", 'level=~"$level"', by="le")},
            unit="percentunit",
        ),
        each="level",
    )


def _agreement() -> list[Any]:
    unanimous = ratio(rate("agreement_ratio_bucket", 'le="0.999"'), rate("agreement_ratio_count"))
    return [
        trend(
            View(
                title="Agreement",
                about="Mean weighted share of the opinions that stand for the answer, and the share of the verdicts "
                "that nothing stands against. A fall: one model has changed, or pictures are of a new kind.",
                queries={"mean": mean("agreement_ratio"), "unanimous": f"1 - {unanimous}"},
                unit="percentunit",
                most=1,
            )
        ),
        heat_map(
            View(
                title="Agreement over time",
                about="Verdicts by the weighted share of the opinions that stand for the answer.",
                queries={"{{le}}": increase("agreement_ratio_bucket", by="le")},
                unit="percentunit",
            )
        ),
        trend(
            View(
                title="Disputed verdicts",
                about="Share with an opinion against them: recent, and before. 10 % more than before and an alert "
                "fires: export disputed verdicts, label some, see who is wrong.",
                queries={
                    "recent": _compared("disputed_verdicts_total", "verdicts_total", _NOW),
                    "before": _compared("disputed_verdicts_total", "verdicts_total", _BEFORE, _NOW),
                },
                unit="percentunit",
            )
        ),
    ]


def _drift() -> list[Any]:
    recent = _exits(_NOW)
    before = _exits(_BEFORE, _NOW)
    change = f"(({recent} or 0 * ({before})) - ({before} or 0 * ({recent})))"
    both = f"and on () ({rate('verdicts_total', over=_NOW)} > 0)"
    both += f" and on () ({rate('verdicts_total', over=_BEFORE, back=_NOW)} > 0)"
    return [
        trend(
            View(
                title="Shift of exits",
                about="How far the shares of the levels differ from before: 0 the same, 1 nothing in common (total "
                "variation distance). Above 0.15 an alert fires, if there were 200 verdicts: pictures or a model "
                "changed. If it is to stay, fit the policy anew.",
                queries={"shift": f"0.5 * sum(abs({change})) {both}"},
                unit="percentunit",
                limits=(0.1, 0.15),
            )
        ),
        trend(
            View(
                title="Exits by level, less those before",
                about="Which levels give more of the verdicts, and which less; the lines add up to 0. Silent until "
                "there is a before.",
                queries={"{{level}}": f"{change} {both}"},
                unit="percentunit",
            )
        ),
        trend(
            View(
                title="Verdicts that say yes",
                about="Share of them: recent, and before. It follows the pictures; if those did not change, a model "
                "did.",
                queries={
                    "recent": _compared("roadwork_detected_total", "verdicts_total", _NOW),
                    "before": _compared("roadwork_detected_total", "verdicts_total", _BEFORE, _NOW),
                },
                unit="percentunit",
                most=1,
            )
        ),
    ]


def _exits(over: str, back: str = "") -> str:
    whole = rate("verdicts_total", over=over, back=back)
    return ratio(rate("verdicts_total", by="level", over=over, back=back), whole, shares=True)


def _compared(part: str, whole: str, over: str, back: str = "") -> str:
    every = rate(whole, over=over, back=back)
    return ratio(zero(rate(part, over=over, back=back), like=every), every)
