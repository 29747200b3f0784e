"""The sections of a report, one function each."""

from __future__ import annotations

import base64
from html import escape

from natix_cascade.errors import PictureError
from natix_cascade.image import challenge, decode, encode_jpeg, resize
from natix_cascade.report.markup import DASH, Markup, facts, figure, interval, number, percent, section, table
from natix_cascade.report.plots import cost_plot, exit_flow, mcc_plot, reliability_plot, score_plot
from natix_cascade.report.results import Evaluation, LevelResult, Mistake, PartResult
from natix_cascade.report.wording import figures, price, when

__all__ = ["cascade", "levels", "method", "mistakes", "parts", "probabilities"]

_THUMBNAIL = 160
_LEVELS = {
    "L0": "centre crop",
    "L1": "turned and cropped",
    "L2": "L1, duller, darker, coarser",
    "L3": "L2 harder, with noise and blur",
    "clean": "the picture as it is",
}


def levels(evaluation: Evaluation) -> str:
    """MCC, accuracy and reward by level of difficulty, with confusions."""
    result = evaluation.result
    rows = [_level(level) for level in result.levels]
    mean = ("mean of the levels", "", number(result.mean_mcc), interval(result.low, result.high), "")
    rows.append((*mean, percent(result.recall), percent(result.specificity), ""))
    if result.clean:
        rows.append(_level(result.clean))
    grid = "".join(_matrix(evaluation, level) for level in result.levels)
    return section(
        "levels",
        "Levels of difficulty",
        figure(mcc_plot(evaluation), "Matthews correlation (MCC): 1 is perfect, 0 is chance. Bars are 95 % intervals."),
        table(
            "Answers by level of difficulty. The reward is Subnet 72's, ((MCC + accuracy) / 2) cubed.",
            ("level", "answers", "MCC", "95 % interval", "accuracy", "recall", "specificity", "reward"),
            rows,
            main=len(result.levels),
        ),
        f'<h3>Confusions</h3><div class="matrices">{grid}</div>',
    )


def _level(level: LevelResult) -> tuple[str, ...]:
    return (
        Markup(f'{level.level} <span class="soft">{_LEVELS.get(level.level, "")}</span>'),
        str(level.n),
        number(level.mcc),
        interval(level.low, level.high),
        percent(level.accuracy),
        percent(level.recall),
        percent(level.specificity),
        number(level.reward),
    )


def _matrix(evaluation: Evaluation, level: LevelResult) -> str:
    c, question = level.confusion, evaluation.question
    yes, no = escape(question.positive), escape(question.negative)

    def cell(cls: str, count: float, total: float) -> str:
        return f'<td class="{cls}" style="--part:{count / total if total else 0:.3f}">{count:g}</td>'

    of_yes, of_no = c.true_positive + c.false_negative, c.false_positive + c.true_negative
    return (
        f'<table><caption>{level.level}</caption><thead><tr><th scope="col">labelled</th>'
        f'<th scope="col">judged {yes}</th><th scope="col">judged {no}</th></tr></thead><tbody>'
        f'<tr><th scope="row">{yes}</th>{cell("right", c.true_positive, of_yes)}'
        f"{cell('wrong', c.false_negative, of_yes)}</tr>"
        f'<tr><th scope="row">{no}</th>{cell("wrong", c.false_positive, of_no)}'
        f"{cell('right', c.true_negative, of_no)}</tr>"
        "</tbody></table>"
    )


def cascade(evaluation: Evaluation) -> str:
    """Exits, and the cascade beside its models."""
    names = [level.level for level in evaluation.result.levels]
    judges = [evaluation.result, evaluation.ensemble, *evaluation.models]
    rows = []
    for judge in judges:
        by_level = {level.level: number(level.mcc) for level in judge.levels}
        rows.append(
            (
                "the cascade" if judge is evaluation.result else judge.name,
                *(by_level.get(name, DASH) for name in names),
                number(judge.mean_mcc) if judge.levels else DASH,
                interval(judge.low, judge.high) if judge.levels else DASH,
                percent(judge.recall),
                percent(judge.specificity),
                percent(judge.asked, 0) if judge.place else "",
                figures(judge.gmacs),
                figures(judge.ms),
            )
        )
    plot = cost_plot(evaluation)
    key = "".join(
        f'<span class="key {cls}"></span>{escape(answer)} '
        for cls, answer in (("yes", evaluation.question.positive), ("no", evaluation.question.negative))
    )
    return section(
        "cascade",
        "Cascade and models",
        figure(
            exit_flow(evaluation),
            Markup(f"Where pictures leave, and with which answer: {key.strip()}; all levels of difficulty together."),
        ),
        table(
            "The cascade, the full ensemble (all members vote on every picture, no exits) and each model alone. A "
            "model alone is calibrated and decided as the policy says for its level; no threshold was chosen on "
            "these pictures.",
            ("judge", *names, "mean MCC", "95 % interval", "recall", "specificity", "asked", "GMACs", "ms"),
            rows,
            main=0,
        ),
        figure(plot, "Mean MCC with its interval against arithmetic for one picture (logarithmic).") if plot else "",
    )


def probabilities(evaluation: Evaluation) -> str:
    """Calibration, and what the verdicts say."""
    return section(
        "probabilities",
        "Probabilities",
        '<div class="pair">',
        figure(
            reliability_plot(evaluation),
            f"On the dashed line, probabilities can be taken at their word. Expected calibration error "
            f"{number(evaluation.calibration.ece)}. Areas of points: numbers of answers.",
        ),
        figure(
            score_plot(evaluation),
            "What the verdicts say: yes begins at 0.5. Bars above on the left and below on the right are mistakes.",
        ),
        "</div>",
    )


def parts(evaluation: Evaluation) -> str:
    """By quality and by source."""
    tables: list[str] = []
    for caption, kind, items in (
        ("By quality of the label", "quality", evaluation.qualities),
        (
            "By source. A source with one class has no MCC; a model can win there by knowing the camera",
            "source",
            evaluation.sources,
        ),
    ):
        if items:
            head = (kind, "yes pictures", "no pictures", "recall", "specificity", "accuracy", "MCC")
            tables.append(table(f"{caption}.", head, [_part(item) for item in items]))
    return section(
        "parts", "Parts of the data", *(tables or ["<p>The manifest names neither qualities nor sources.</p>"])
    )


def _part(item: PartResult) -> tuple[str, ...]:
    rates = (percent(item.recall), percent(item.specificity), percent(item.accuracy), number(item.mcc))
    return (_wrapped(item.name), str(item.positives), str(item.negatives), *rates)


def mistakes(evaluation: Evaluation, *, thumbnails: bool) -> str:
    """The surest mistakes, with small pictures if wanted."""
    shown = evaluation.mistakes
    if not shown:
        return section("mistakes", "Mistakes", "<p>There are none.</p>")
    question = evaluation.question
    picture = ("~seen",) if thumbnails else ()
    rows = [
        (
            _wrapped(item.name),
            *((_thumbnail(item, flips=evaluation.settings.flips),) if thumbnails else ()),
            question.positive if item.label else question.negative,
            number(item.probability),
            item.level,
            item.exit_level,
            f"{item.wrong} of {item.variants}",
            item.quality,
            _wrapped(item.source),
        )
        for item in shown
    ]
    head = (
        "picture",
        *picture,
        "~label",
        f"P({question.positive})",
        "~level",
        "~left at",
        "wrong",
        "~quality",
        "~source",
    )
    caption = (
        f"The surest mistakes: {len(shown)} of {evaluation.mistaken} pictures with at least one wrong answer. Shown is "
        "each picture's worst variant."
    )
    return section("mistakes", "Mistakes", table(caption, head, rows))


def _wrapped(text: str) -> Markup:
    """A long name, which may break anywhere."""
    return Markup(f'<span class="wrap">{escape(text)}</span>')


def _thumbnail(item: Mistake, *, flips: bool) -> Markup:
    try:
        pixels = challenge(decode(item.path).pixels, item.level, seed=item.seed, flips=flips)
    except PictureError:
        return Markup(DASH)
    data = base64.b64encode(encode_jpeg(resize(pixels, _THUMBNAIL, _THUMBNAIL), quality=75)).decode()
    name = escape(f"{item.name} at {item.level}", quote=True)
    return Markup(
        f'<img class="thumb" alt="{name}" width="{_THUMBNAIL}" height="{_THUMBNAIL}" '
        f'src="data:image/jpeg;base64,{data}">'
    )


def method(evaluation: Evaluation) -> str:
    """Data, settings, versions, and what could not be judged."""
    settings, result = evaluation.settings, evaluation.result
    splits = ", ".join(f"{name or 'not named'} {count}" for name, count in evaluation.splits.items())
    begins = ", ".join(f"{name} {number(value)}" for name, value in evaluation.thresholds.items())
    listed = facts(
        (
            ("Pictures", f"{evaluation.pictures}, {evaluation.groups} groups; splits: {splits}"),
            ("Cascade", evaluation.cascade),
            ("Policy", evaluation.policy),
            ("Yes begins at", f"{begins} (the vote's probability, by the level at which a picture leaves)"),
            (
                "Augmentation",
                f"seed {settings.seed}, {settings.repetitions} at L1 to L3, flips {'on' if settings.flips else 'off'}",
            ),
            (
                "Intervals",
                f"95 %, percentile bootstrap over groups, {settings.bootstrap} draws, the same at all levels",
            ),
            (
                "Pooled figures",
                "L0 to L3, each level counting the same; the pictures as they are stand apart ('clean')",
            ),
            (
                "Time",
                f"models {figures(result.ms)} ms (added up, batches); decoding {figures(evaluation.decode_ms)} ms more",
            ),
            (
                "Cost",
                f"{price(result)}; GMACs {figures(result.gmacs)}, full ensemble {figures(evaluation.ensemble.gmacs)}",
            ),
            ("Degraded answers", str(evaluation.degraded)),
            ("Not judged", str(len(evaluation.failures))),
            ("When", when(evaluation)),
            ("With", ", ".join(f"{name} {value}" for name, value in evaluation.versions.items())),
        )
    )
    failures = ""
    if evaluation.failures:
        rows = [(_wrapped(f.name), f.error) for f in evaluation.failures]
        failures = table("Pictures that could not be judged; they are in no figure.", ("picture", "~why"), rows)
    return section("method", "How it was measured", listed, failures)
