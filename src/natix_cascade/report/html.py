"""An evaluation as one HTML file that needs nothing else: it can be mailed, kept and printed."""

from __future__ import annotations

from html import escape
from pathlib import Path

from natix_cascade.files import write_whole
from natix_cascade.report import sections
from natix_cascade.report.markup import interval, number, page, percent
from natix_cascade.report.results import Evaluation
from natix_cascade.report.wording import figures, price, when

__all__ = ["render_html", "write_html"]

_SECTIONS = {
    "levels": "Levels of difficulty",
    "cascade": "Cascade and models",
    "probabilities": "Probabilities",
    "parts": "Parts of the data",
    "mistakes": "Mistakes",
    "method": "How it was measured",
}


def write_html(evaluation: Evaluation, path: str | Path, *, thumbnails: bool = False) -> Path:
    """Write the report; see `render_html`.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    return write_whole(path, render_html(evaluation, thumbnails=thumbnails).encode())


def render_html(evaluation: Evaluation, *, thumbnails: bool = False) -> str:
    """Return the report as one HTML page: no script, no address outside, light and dark, fit for print.

    Parameters
    ----------
    evaluation : Evaluation
        What was found.
    thumbnails : bool
        Show the mistakes as small JPEGs, as the models saw them. They are then part of the file: mind whose pictures
        they are.
    """
    body = (
        sections.levels(evaluation),
        sections.cascade(evaluation),
        sections.probabilities(evaluation),
        sections.parts(evaluation),
        sections.mistakes(evaluation, thumbnails=thumbnails),
        sections.method(evaluation),
    )
    return page(
        f"{evaluation.question.id}: {evaluation.cascade}",
        _header(evaluation),
        _SECTIONS,
        f"{_tiles(evaluation)}{_notes(evaluation)}\n{chr(10).join(body)}",
        skip="the results",
        made=f"natix-cascade {evaluation.versions.get('natix-cascade', '')}, {when(evaluation)}",
    )


def _header(evaluation: Evaluation) -> str:
    result = evaluation.result
    return (
        f'<p class="kicker">Evaluation of the cascade {escape(evaluation.cascade)}, '
        f"policy {escape(evaluation.policy)}</p>"
        f"<h1>{escape(evaluation.question.text)}</h1>"
        f'<p class="lead">{evaluation.pictures} pictures, {evaluation.positives} of them labelled '
        f"{escape(evaluation.question.positive)}, in {evaluation.groups} groups; {_some(evaluation)} at "
        f"{len(result.levels)} levels of difficulty.</p>"
    )


def _some(evaluation: Evaluation) -> str:
    count = evaluation.settings.repetitions
    return "each judged once" if count == 1 else f"each judged {count} times (once at L0)"


def _tiles(evaluation: Evaluation) -> str:
    result, first = evaluation.result, evaluation.exits[0]
    recalls = ", ".join(
        f"{name} {percent(value)}" for name, value in evaluation.recall_by_quality_pooled.items() if value is not None
    )
    tiles = [
        ("Mean MCC", number(result.mean_mcc), f"95 % interval {interval(result.low, result.high)}"),
        ("Recall", percent(result.recall), f"by quality: {recalls}" if recalls else "pictures with the answer yes"),
        ("Specificity", percent(result.specificity), "pictures with the answer no"),
        (
            f"Leave at '{first.level}'",
            percent(first.share),
            f"{number(evaluation.mean_levels_executed, 2)} levels on average",
        ),
        ("Models' time", f"{figures(result.ms)} ms", "mean for one picture, measured in batches"),
        ("Arithmetic", f"{figures(result.gmacs)} GMACs", price(result)),
    ]
    shown = "".join(
        f"<div><dt>{escape(a)}</dt><dd>{escape(b)}<small>{escape(c)}</small></dd></div>" for a, b, c in tiles
    )
    return f'<dl class="tiles">{shown}</dl>'


def _notes(evaluation: Evaluation) -> str:
    if not evaluation.notes:
        return ""
    items = "".join(f"<li>{escape(note)}.</li>" for note in evaluation.notes)
    return f'<aside class="notes" aria-label="Notes"><ul>{items}</ul></aside>'
