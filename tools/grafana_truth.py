"""Rows of the dashboard of quality: what feedback and the judge say."""

from __future__ import annotations

from typing import Any

from grafana_panels import View, bar_chart, bar_gauge, heat_map, number, trend
from grafana_queries import gauge, increase, mean, rate, ratio

__all__ = ["calibration", "judge", "truth"]

_NOW = "$recent"
_BEFORE = "$before"
_TRUTH = "$truth"
_TOLD = increase("feedback_total", over=_TRUTH)
_BINNED = "calibration_verdicts_total"


def truth() -> list[Any]:
    """Accuracy, correlation and confusion, beside what is promised."""
    yes, no = (_cell(answer=one, truth=one) for one in ("yes", "no"))
    false_yes, false_no = _cell("yes", "no"), _cell("no", "yes")
    margins = [{"answer": "yes"}, {"answer": "no"}, {"truth": "yes"}, {"truth": "no"}]
    sides = " * ".join(
        increase("feedback_total", *(f'{key}="{value}"' for key, value in side.items()), over=_TRUTH)
        for side in margins
    )
    accuracy = ratio(f"({yes} + {no})", _TOLD)
    correlation = f"({yes} * {no} - {false_yes} * {false_no}) / sqrt({sides} > 0)"
    fair = "Ask first whether the feedback is fair: who reports mistakes only makes every policy look bad."
    found = [
        number(
            View(
                title="Feedback",
                about="Verdicts whose truth was told. Below some hundreds, what follows says little: label a random "
                "sample.",
                queries={"verdicts": _TOLD},
                unit="short",
                size=(4, 8),
                decimals=0,
            )
        )
    ]
    for metric, expression in {"accuracy": accuracy, "mcc": correlation}.items():
        promise = gauge("promised", f'metric="{metric}"')
        name = {"accuracy": "Accuracy", "mcc": "Matthews' correlation"}[metric]
        found.append(
            trend(
                View(
                    title=name,
                    about=f"As feedback shows it, and what the policy promises, if it does. Below it for long, with "
                    f"hundreds of verdicts: load an earlier policy and plan anew. {fair}",
                    queries={"observed": expression, "promised": f"max({promise}) > 0"},
                    unit="percentunit" if metric == "accuracy" else "short",
                    size=(7, 8),
                    most=1 if metric == "accuracy" else None,
                )
            )
        )
    cells = bar_gauge(
        View(
            title="Answer and truth",
            about="Verdicts with feedback by what was answered and what is true. yes, truly no: false alarms; no, "
            "truly yes: misses.",
            queries={"{{answer}}, truly {{truth}}": increase("feedback_total", by="answer, truth", over=_TRUTH)},
            unit="short",
            size=(6, 8),
            decimals=0,
        )
    )
    return [*found, cells]


def calibration() -> list[Any]:
    """Whether probabilities are what they say."""
    told, said, true = (
        increase(name, by="tenth", over=_TRUTH)
        for name in (_BINNED, "calibration_probability_total", "calibration_positives_total")
    )
    many = increase(_BINNED, over=_TRUTH)
    return [
        bar_chart(
            View(
                title="Said and true, by tenths of P(yes)",
                about="Verdicts with feedback: the mean probability that was said, and how often yes was true. They "
                "should be alike; where they are not, fit the calibrators anew.",
                queries={"said": ratio(said, told), "true": ratio(true, told)},
                unit="percentunit",
                size=(12, 8),
                most=1,
            ),
            "tenth",
        ),
        bar_gauge(
            View(
                title="Feedback by tenths of P(yes)",
                about="On how many verdicts each pair of bars at the left stands. Under fifty, a pair says little.",
                queries={"{{tenth}}": told},
                unit="short",
                size=(4, 8),
                decimals=0,
            )
        ),
        trend(
            View(
                title="Calibration error",
                about="Mean distance of said and true over the tenths, by their verdicts (expected calibration error). "
                "chance: what a perfect calibration shows at most, on the average of so many verdicts. 0.05 above "
                "it an alert fires: fit the calibrators anew.",
                queries={
                    "error": ratio(f"sum(abs({said} - {true}))", many),
                    "chance": f"0.4 * sqrt(10 / ({many} > 0))",
                },
                unit="percentunit",
            )
        ),
    ]


def judge() -> list[Any]:
    """Scores, and what became of the questions."""
    return [
        trend(
            View(
                title="Mean score",
                about="Of verdicts drawn by chance: recent, and before. 0.1 lower than before and an alert fires: read "
                "its reasons; was the judge's own model changed?",
                queries={
                    "recent": mean("judge_score", over=_NOW),
                    "before": mean("judge_score", over=_BEFORE, back=_NOW),
                },
                unit="percentunit",
                most=1,
            )
        ),
        heat_map(
            View(
                title="Scores over time",
                about="Scores of verdicts drawn by chance. A second band near 0: verdicts of one kind that it finds "
                "wrong.",
                queries={"{{le}}": increase("judge_score_bucket", by="le")},
                unit="percentunit",
            )
        ),
        trend(
            View(
                title="What became of the questions",
                about="A second: scored; abstained: it could not say; failed: no answer, see the log of the process "
                "that observes.",
                queries={"{{outcome}}": rate("judge_scores_total", by="outcome")},
                unit="cps",
            )
        ),
    ]


def _cell(answer: str, truth: str) -> str:
    return increase("feedback_total", f'answer="{answer}"', f'truth="{truth}"', over=_TRUTH)
