"""Whether the verdicts are as good as promised, and given as they were before."""

from __future__ import annotations

from typing import Any

from grafana_panels import View, bar_chart, bar_gauge, board, heat_map, number, text_variable, trend, values_of
from grafana_queries import LEVEL, gauge, increase, mean, quantile, rate, ratio, zero

__all__ = ["dashboard"]

_NOW = "$recent"
_BEFORE = "$before"
_TRUTH = "$truth"
_TOLD = increase("feedback_total", over=_TRUTH)
_BINNED = "calibration_verdicts_total"


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
        "Truth, as feedback tells it": _truth(),
        "Calibration": _calibration(),
        "The judge": _judge(),
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


def _truth() -> list[Any]:
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


def _calibration() -> list[Any]:
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


def _judge() -> list[Any]:
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


def _exits(over: str, back: str = "") -> str:
    whole = rate("verdicts_total", over=over, back=back)
    return ratio(rate("verdicts_total", by="level", over=over, back=back), whole, shares=True)


def _compared(part: str, whole: str, over: str, back: str = "") -> str:
    every = rate(whole, over=over, back=back)
    return ratio(zero(rate(part, over=over, back=back), like=every), every)
