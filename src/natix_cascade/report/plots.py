"""The plots of a report, as SVG."""

from __future__ import annotations

import math

import numpy as np

from natix_cascade.report.results import Evaluation, ExitResult, JudgeResult, LevelResult
from natix_cascade.report.svg import Axis, Drawing

__all__ = ["cost_plot", "exit_flow", "mcc_plot", "reliability_plot", "score_plot"]

_BINS = 20
_COLUMN, _BAND = 160.0, 120.0


def mcc_plot(evaluation: Evaluation) -> str:
    """MCC by level of difficulty, with intervals: the cascade, the full ensemble and the single models."""
    result, ensemble = evaluation.result, evaluation.ensemble
    rows: list[tuple[str, float, float, float]] = [(v.level, v.mcc, v.low, v.high) for v in result.levels]
    rows.append(("mean", result.mean_mcc, result.low, result.high))
    if result.clean:
        rows.append(("clean", result.clean.mcc, result.clean.low, result.clean.high))
    alone = [_mcc_at(model, name) for model in evaluation.models for name, *_ in rows]
    lowest = min(*(low for _, _, low, _ in rows), *(value for value in alone if value is not None), 0.8)
    axis = Axis(math.floor(lowest * 5) / 5, 1.0, 70, 650)
    height = 34 * len(rows) + 26
    spoken = "; ".join(f"{name} {mcc:.3f}, 95 % interval {low:.3f} to {high:.3f}" for name, mcc, low, high in rows)
    drawing = Drawing(720, height + 40, "MCC by level of difficulty", spoken)
    for step in range(round((1 - axis.low) * 5) + 1):
        value = axis.low + step / 5
        drawing.line(axis(value), 8, axis(value), height, "grid")
        drawing.text(axis(value), height + 14, _short(value), "tick", "middle")
    for index, (name, mcc, low, high) in enumerate(rows):
        y = 26 + 34 * index
        if name == "mean":
            drawing.line(10, y - 17, 710, y - 17, "axis")
        drawing.text(10, y + 4.5, name, "label strong" if name == "mean" else "label")
        for judge in evaluation.models:
            single = _mcc_at(judge, name)
            if single is not None:
                drawing.add(
                    "rect",
                    tip=f"{judge.name}: {single:.3f}",
                    x=axis(single) - 1,
                    y=y - 8,
                    width=2,
                    height=16,
                    cls="faint",
                )
        drawing.line(axis(low), y, axis(high), y, "whisker")
        full = _mcc_at(ensemble, name)
        if full is not None:
            drawing.diamond(axis(full), y, 6.5, "hollow", f"full ensemble: {full:.3f}")
        drawing.circle(axis(mcc), y, 5, "dot", f"{name}: {mcc:.3f} ({low:.3f} to {high:.3f})")
        drawing.text(
            710, y + 4.5, f"{mcc:.3f}".replace("-", "\u2212"), "value strong" if name == "mean" else "value", "end"
        )
    _mcc_legend(drawing, height + 33)
    return drawing.render()


def _mcc_legend(drawing: Drawing, y: float) -> None:
    drawing.line(70, y - 4, 94, y - 4, "whisker")
    drawing.circle(82, y - 4, 5, "dot")
    drawing.text(102, y, "cascade, 95 % interval", "tick")
    drawing.diamond(262, y - 4, 6.5, "hollow")
    drawing.text(275, y, "full ensemble", "tick")
    drawing.rect(377, y - 12, 2, 16, "faint")
    drawing.text(387, y, "single models", "tick")


def _mcc_at(judge: JudgeResult, name: str) -> float | None:
    if name == "mean":
        return judge.mean_mcc if judge.levels else None
    found: LevelResult | None = judge.clean
    if name != "clean":
        found = next((level for level in judge.levels if level.level == name), None)
    return found.mcc if found else None


def exit_flow(evaluation: Evaluation) -> str:
    """How many pictures leave at which level of the cascade, and with which answer."""
    exits = evaluation.exits
    question = evaluation.question
    spoken = "; ".join(
        f"{item.level}: {_percent(item.executed)} reach it, {_percent(item.share)} leave "
        f"({_percent(item.yes)} {question.positive}, {_percent(item.no)} {question.negative})"
        for item in exits
    )
    start, top, bottom = 64.0, 44.0, 236.0
    drawing = Drawing(start + _COLUMN * len(exits) + 20, bottom + 80, "Where pictures leave the cascade", spoken)
    drawing.rect(0, top, start, _BAND, "flow")
    drawing.text(10, top + _BAND / 2 - 2, "all", "label")
    drawing.text(10, top + _BAND / 2 + 14, "answers", "label")
    for index, item in enumerate(exits):
        x = start + _COLUMN * index
        remaining = max(item.executed - item.share, 0.0) * _BAND
        drawing.line(x, top - 8, x, top + item.executed * _BAND + 4, "axis")
        drawing.text(x + 6, top - 24, item.level, "label strong")
        drawing.text(x + 6, top - 9, f"{_percent(item.executed)} reach it", "tick")
        drawing.rect(x, top, _COLUMN, remaining, "flow", tip=f"{_percent(remaining / _BAND)} go on")
        _exit_branch(drawing, evaluation, item, (x, top + remaining), bottom)
    return drawing.render()


def _exit_branch(
    drawing: Drawing, evaluation: Evaluation, item: ExitResult, corner: tuple[float, float], bottom: float
) -> None:
    """Bend the part of the band that leaves downwards: no inside, yes outside."""
    x, top = corner
    no, yes = item.no * _BAND, item.yes * _BAND
    turn, inner = top + no + yes + 16, x + 14
    question = evaluation.question
    bands = (
        (top + yes, top + yes + no, inner, inner + no, "no", question.negative, item.no),
        (top, top + yes, inner + no, inner + no + yes, "yes", question.positive, item.yes),
    )
    for above, below, left, right, cls, answer, share in bands:
        if share > 0:
            drawing.path(
                f"M{x:.2f} {above:.2f}Q{right:.2f} {above:.2f} {right:.2f} {turn:.2f}"
                f"V{bottom:.2f}H{left:.2f}V{turn:.2f}"
                f"Q{left:.2f} {below:.2f} {x:.2f} {below:.2f}Z",
                cls,
                f"{item.level}: {_percent(share)} leave with {answer}",
            )
    drawing.text(inner, bottom + 20, f"{_percent(item.share)} leave", "label strong")
    drawing.text(inner, bottom + 37, f"{_percent(item.no)} {question.negative}", "tick")
    drawing.text(inner, bottom + 53, f"{_percent(item.yes)} {question.positive}", "tick")
    if item.accuracy is not None:
        drawing.text(inner, bottom + 69, f"{_percent(item.accuracy)} of them right", "tick")


def reliability_plot(evaluation: Evaluation) -> str:
    """Probability against frequency, bin by bin; the area of a point is the number of answers."""
    bins = evaluation.calibration.bins
    spoken = "; ".join(f"mean probability {b.probability:.2f}: frequency {b.frequency:.2f}" for b in bins)
    drawing = Drawing(350, 340, "Reliability diagram", spoken)
    x, y = Axis(0, 1, 46, 330), Axis(0, 1, 290, 14)
    for step in range(6):
        value = step / 5
        drawing.line(x(value), y(0), x(value), y(1), "grid")
        drawing.line(x(0), y(value), x(1), y(value), "grid")
        drawing.text(x(value), y(0) + 17, _short(value), "tick", "middle")
        drawing.text(x(0) - 8, y(value) + 4, _short(value), "tick", "end")
    drawing.line(x(0), y(0), x(1), y(1), "dashed")
    drawing.path("M" + "L".join(f"{x(b.probability):.2f} {y(b.frequency):.2f}" for b in bins), "trace")
    total = sum(b.weight for b in bins)
    for b in bins:
        tip = f"probability {b.probability:.2f}, frequency {b.frequency:.2f}, {b.weight:g} answers"
        drawing.circle(x(b.probability), y(b.frequency), 3 + 16 * math.sqrt(b.weight / total), "bubble", tip)
    drawing.text(x(0.5), 330, f"the vote's P({evaluation.question.positive})", "tick", "middle")
    drawing.text(x(0) + 6, 26, f"share that is {evaluation.question.positive}", "tick")
    return drawing.render()


def score_plot(evaluation: Evaluation) -> str:
    """Histogram of the verdicts' probabilities: pictures labelled yes upwards, no downwards."""
    said, question = evaluation.predictions, evaluation.question
    counts = {
        label: np.histogram(
            said.probability[(said.label == label) & (said.weight > 0)],
            bins=_BINS,
            range=(0, 1),
            weights=said.weight[(said.label == label) & (said.weight > 0)],
        )[0]
        for label in (True, False)
    }
    spoken = (
        f"of {counts[True].sum():g} answers about {question.positive}, {counts[True][_BINS // 2 :].sum():g} are above "
        f"0.5; of {counts[False].sum():g} about {question.negative}, {counts[False][: _BINS // 2].sum():g} are below"
    )
    drawing = Drawing(350, 340, "Probabilities of the verdicts", spoken)
    x, most = Axis(0, 1, 14, 336), math.sqrt(max(counts[True].max(), counts[False].max(), 1.0))
    for label, cls, sign in ((True, "yes", -1), (False, "no", 1)):
        for index, count in enumerate(counts[label]):
            tall = math.sqrt(count) / most * 128
            left, right = x(index / _BINS) + 1, x((index + 1) / _BINS) - 1
            tip = f"{index / _BINS:.2f} to {(index + 1) / _BINS:.2f}: {count:g} labelled "
            drawing.rect(
                left,
                152 - tall if sign < 0 else 152,
                right - left,
                tall,
                cls,
                tip=tip + (question.positive if label else question.negative),
            )
    drawing.line(x(0), 152, x(1), 152, "axis")
    drawing.line(x(0.5), 18, x(0.5), 290, "dashed")
    for step in range(6):
        drawing.text(x(step / 5), 307, _short(step / 5), "tick", "middle")
    drawing.text(x(0.5) - 8, 26, f"labelled {question.positive}", "label", "end")
    drawing.text(x(0.5) + 8, 286, f"labelled {question.negative}", "label")
    drawing.text(x(0.5), 330, "the verdict's probability (heights: square roots)", "tick", "middle")
    return drawing.render()


def cost_plot(evaluation: Evaluation) -> str | None:
    """Mean MCC against multiply-accumulates; None where the cards do not say what models cost."""
    judges = [evaluation.result, evaluation.ensemble, *(model for model in evaluation.models if model.levels)]
    if min(judge.gmacs for judge in judges) <= 0:
        return None
    spoken = "; ".join(f"{judge.name}: {judge.gmacs:.3g} GMACs, mean MCC {judge.mean_mcc:.3f}" for judge in judges)
    drawing = Drawing(720, 330, "Quality against cost", spoken)
    costs = [judge.gmacs for judge in judges]
    low, high = min(0.8, *(judge.low for judge in judges)), 1.0
    x, y = Axis(min(costs) / 1.5, max(costs) * 2.2, 46, 700, log=True), Axis(math.floor(low * 5) / 5, high, 280, 14)
    for step in range(round((high - y.low) * 5) + 1):
        value = y.low + step / 5
        drawing.line(x.start, y(value), x.end, y(value), "grid")
        drawing.text(x.start - 8, y(value) + 4, _short(value), "tick", "end")
    for power in range(math.floor(math.log10(x.low)), math.ceil(math.log10(x.high)) + 1):
        for value in (10.0**power, 3 * 10.0**power):
            if x.low <= value <= x.high:
                drawing.line(x(value), y.start, x(value), y.end, "grid")
                drawing.text(x(value), y.start + 17, f"{value:g}", "tick", "middle")
    drawing.text((x.start + x.end) / 2, 322, "billion multiply-accumulates for one picture (mean)", "tick", "middle")
    drawing.text(x.start + 6, 26, "mean MCC", "tick")
    taken: list[tuple[float, float]] = []
    for index, judge in sorted(enumerate(judges), key=lambda pair: -pair[1].mean_mcc):
        at, height = x(judge.gmacs), y(judge.mean_mcc)
        tip = f"{judge.name}: {judge.mean_mcc:.3f} ({judge.low:.3f} to {judge.high:.3f}) at {judge.gmacs:.3g} GMACs"
        drawing.line(at, y(judge.low), at, y(judge.high), "whisker" if index == 0 else "whisker thin")
        if index == 1:
            drawing.diamond(at, height, 6.5, "hollow", tip)
        else:
            drawing.circle(at, height, 6 if index == 0 else 4.5, "dot" if index == 0 else "small", tip)
        if index == 0:  # to the left: the full ensemble, which costs more, stands to the right
            drawing.text(at - 11, height + 4, "cascade", "label strong", "end")
            taken.append((at - 70, height))
            continue
        while any(abs(height - other) < 14 and abs(at - there) < 110 for there, other in taken):  # noqa: PLR2004  # px
            height += 5
        taken.append((at, height))
        drawing.text(at + 11, height + 4, judge.name, "label")
    return drawing.render()


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.1 or value == 0 else f"{100 * value:.1f} %"  # noqa: PLR2004  # two digits


def _short(value: float) -> str:
    return f"{value:.1f}".replace("-", "\u2212")
