"""Small pieces of HTML: numbers, tables, lists of facts, and the page around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

__all__ = ["DASH", "Cell", "Markup", "facts", "figure", "interval", "number", "page", "percent", "section", "table"]


DASH = "\u2013"
"""Stands where there is no figure."""


class Markup(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


Cell = str | Markup


def text(content: Cell) -> str:
    """Return HTML of a cell."""
    return content if isinstance(content, Markup) else escape(content)


def number(value: float | None, digits: int = 3) -> str:
    """Fixed digits, a real minus, and a dash for what there is not."""
    if value is None:
        return DASH
    shown = f"{value:.{digits}f}"
    return shown.replace("-", "" if float(shown) == 0 else "\u2212")


def interval(low: float, high: float, digits: int = 3) -> str:
    """Return both ends of an interval."""
    return f"{number(low, digits)} to {number(high, digits)}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent."""
    return DASH if value is None else f"{number(100 * value, digits)} %"


def table(caption: Cell, head: Sequence[Cell], rows: Iterable[Sequence[Cell]], *, main: int | None = None) -> Markup:
    """Return a table: the first column names the row, the others hold figures.

    Parameters
    ----------
    caption : str
        What it shows.
    head : sequence of str
        Names of the columns; one that begins with ``~`` holds words and stands left.
    rows : sequences of str
        Cells.
    main : int, optional
        The row that stands out.
    """
    words = [name.startswith("~") for name in head]
    names = "".join(
        f'<th scope="col"{_words(left)}>{text(type(name)(name.removeprefix("~")))}</th>'
        for name, left in zip(head, words, strict=True)
    )
    body = []
    for index, row in enumerate(rows):
        cells = "".join(f"<td{_words(left)}>{text(cell)}</td>" for cell, left in zip(row[1:], words[1:], strict=True))
        marked = ' class="main"' if index == main else ""
        body.append(f'<tr{marked}><th scope="row">{text(row[0])}</th>{cells}</tr>')
    label = escape(str(caption).split(".")[0], quote=True) if not isinstance(caption, Markup) else "table"
    return Markup(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><caption>{text(caption)}</caption>'
        f"<thead><tr>{names}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, Cell]]) -> Markup:
    """Return a list of names and what they stand for."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
    return Markup(f'<dl class="facts">{items}</dl>')


def figure(drawing: str, caption: Cell) -> Markup:
    """Return a drawing with a caption."""
    return Markup(f"<figure>{drawing}<figcaption>{text(caption)}</figcaption></figure>")


def section(name: str, title: str, *parts: str) -> Markup:
    """Return a section that can be linked to."""
    return Markup(
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{escape(title)}</h2>'
        f"{''.join(parts)}</section>"
    )


def page(
    title: str,
    header: str,
    contents: Mapping[str, str],
    main: str,
    *,
    skip: str,
    made: str,
    style: str = "",
    shapes: str = "",
    scripts: Sequence[str] = (),
) -> str:
    """Return a whole page: the style that all pages share, a header with links to the sections, and a footer.

    Parameters
    ----------
    title : str
        Name of the window.
    header, main : str
        HTML above and below the links to the sections.
    contents : mapping
        Name of a section to its title.
    skip : str
        What the first section shows: the first link, for those who use a keyboard, goes there.
    made : str
        By what and when.
    style : str
        CSS that comes after that of all pages.
    shapes : str
        An SVG with shapes for others to use.
    scripts : sequence of str
        Elements at the end.
    """
    css = Path(__file__).with_name("page.css").read_text("utf-8") + style
    links = "".join(f'<li><a href="#{name}">{escape(label)}</a></li>' for name, label in contents.items())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style></head>\n<body>"
        f'<a class="skip" href="#{next(iter(contents))}">Skip to {skip}</a>{shapes}'
        f'<header>{header}<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n'
        f"<main>{main}</main>\n"
        f"<footer>{escape(made)}. This file holds everything it shows.</footer>"
        f"{''.join(chr(10) + script for script in scripts)}</body></html>\n"
    )


def _words(left: bool) -> str:  # noqa: FBT001  # a property of the column
    return ' class="words"' if left else ""
