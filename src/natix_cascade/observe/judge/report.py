"""What a judge's journal says: scores by day, the last ones, agreement with people, money."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from natix_cascade.observe.judge.agreement import agreement
from natix_cascade.observe.judge.falling import Rolling
from natix_cascade.observe.judge.journal import Row

__all__ = ["lines", "report"]

_WINDOW = 200


def report(rows: Sequence[Row], skipped: Mapping[str, int], *, window: int = _WINDOW) -> dict[str, Any]:
    """All figures, as plain data for JSON.

    Parameters
    ----------
    rows : sequence of Row
        In the order in which they were asked.
    skipped : mapping
        Verdicts that nobody was asked about, by why.
    window : int
        Scores in the rolling window.
    """
    by_day: dict[str, list[Row]] = defaultdict(list)
    by_judge: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_day[dt.datetime.fromtimestamp(row.created, dt.UTC).date().isoformat()].append(row)
        by_judge[row.rubric, row.digest, row.judge].append(row)
    return {
        **_counts(rows),
        "days": [{"day": day, **_counts(those)} for day, those in by_day.items()],
        "judges": [
            {"rubric": rubric, "digest": digest, "judge": judge, **_of_judge(those, window)}
            for (rubric, digest, judge), those in by_judge.items()
        ],
        "skipped": dict(skipped),
    }


def _counts(rows: Sequence[Row]) -> dict[str, Any]:
    fair = [row.score for row in rows if row.by_chance and row.score is not None]
    return {
        "asked": len(rows),
        "scored": sum(row.score is not None for row in rows),
        "abstained": sum(row.abstained for row in rows),
        "failed": sum(row.failure is not None for row in rows),
        "by_chance": len(fair),
        "mean_score": float(np.mean(fair)) if fair else None,
        "cost_usd": sum(row.cost_usd for row in rows),
    }


def _of_judge(rows: Sequence[Row], window: int) -> dict[str, Any]:
    fair = [row.score for row in rows if row.by_chance and row.score is not None]
    answered = sum(row.failure is None for row in rows)
    both = [row for row in rows if row.label is not None and row.failure is None]
    fall = Rolling(window, fair).look()
    last = fair[-window:]
    return {
        **_counts(rows),
        "abstention_rate": sum(row.abstained for row in rows) / answered if answered else None,
        "rolling": {
            "n": len(last),
            "mean": float(np.mean(last)) if last else None,
            "before": None if fall is None else fall.before,
            "p_fallen": None if fall is None else fall.p,
        },
        "agreement": asdict(
            agreement(
                [np.nan if row.score is None else row.score for row in both], [row.answer == row.label for row in both]
            )
        ),
    }


def lines(told: Mapping[str, Any], *, days: int = 14) -> Iterable[str]:
    """The figures for people; of the days, the last ones."""
    yield f"{'day':<12}{'asked':>7}{'scored':>8}{'abstained':>11}{'failed':>8}{'mean by chance':>16}{'cost':>12}"
    for day in told["days"][-days:]:
        yield (
            f"{day['day']:<12}{day['asked']:>7}{day['scored']:>8}{day['abstained']:>11}{day['failed']:>8}"
            f"{_figure(day['mean_score']):>16}{'$' + format(day['cost_usd'], '.4f'):>12}"
        )
    if len(told["days"]) > days:
        yield f"... and {len(told['days']) - days} days before"
    for judge in told["judges"]:
        yield ""
        yield from _judge_lines(judge)
    if told["skipped"]:
        yield ""
        yield "not asked about: " + ", ".join(f"{why} {count}" for why, count in told["skipped"].items())


def _judge_lines(judge: Mapping[str, Any]) -> Iterable[str]:
    rolling, agreed = judge["rolling"], judge["agreement"]
    yield f"{judge['judge']} by {judge['rubric']} ({judge['digest']})"
    line = f"  last {rolling['n']} scores by chance: mean {_figure(rolling['mean'])}"
    if rolling["before"] is not None:
        line += f", {_figure(rolling['before'])} before (Welch's test that it fell: p = {rolling['p_fallen']:.2g})"
    yield line
    yield f"  abstained from {_share(judge['abstention_rate'])}; cost ${judge['cost_usd']:.4f}"
    if not agreed["n"]:
        yield "  agreement with people: nothing to compare; send feedback on verdicts that it has scored"
        return
    yield (
        f"  agrees with people on {_share(agreed['ratio'])} of {agreed['n']} verdicts "
        f"(95 %: {_share(agreed['low'])} to {_share(agreed['high'])}), "
        f"kappa {_figure(agreed['kappa'])}, AUC {_figure(agreed['auc'])}"
    )
    yield (
        f"  mean score of right verdicts {_figure(agreed['mean_right'])} ({agreed['right']}), "
        f"of wrong ones {_figure(agreed['mean_wrong'])} ({agreed['n'] - agreed['right']})"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
