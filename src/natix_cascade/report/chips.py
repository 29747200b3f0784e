"""The way through the cascade as a row of cards: who was asked, what they said, where it ended."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageDraw

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.report.ink import FAINT, INK, MARGIN, NO, RULE, SOFT, WIDTH, YES, font, shorten
from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["CARD_GAP", "draw_path", "path_height"]

CARD_GAP = 16
_PER_ROW = 5
_HEAD, _LINE, _FOOT = 36, 38, 10
_ADVANCE = 14  # between cards of a row: room for an arrow


@dataclass(frozen=True, slots=True)
class _Chip:
    """One level: what was said there, and by whom it would have been."""

    name: str
    opinions: tuple[Opinion, ...]
    unasked: tuple[str, ...]
    executed: bool
    is_exit: bool

    @property
    def height(self) -> int:
        """Pixels."""
        return _HEAD + _LINE * max(1, len(self.opinions) + len(self.unasked)) + _FOOT


def path_height(verdict: Verdict, cascade: ResolvedCascade | None) -> int:
    """Pixels that the cards need, gaps above and between included."""
    return sum(CARD_GAP + max(chip.height for chip in row) for row in _rows(verdict, cascade))


def draw_path(draw: ImageDraw.ImageDraw, verdict: Verdict, cascade: ResolvedCascade | None, top: int) -> None:
    """Draw all cards below `top`."""
    for row in _rows(verdict, cascade):
        columns = max(len(row), 2)
        wide = (WIDTH - 2 * MARGIN - _ADVANCE * (columns - 1)) / columns
        tall = max(chip.height for chip in row)
        top += CARD_GAP
        for index, chip in enumerate(row):
            left = MARGIN + index * (wide + _ADVANCE)
            if index:
                middle = top + _HEAD / 2
                ends = [(left - 10, middle - 4), (left - 4, middle), (left - 10, middle + 4)]
                draw.line(ends, fill=SOFT if chip.executed else RULE, width=2)
            _draw_chip(draw, chip, (left, top, left + wide, top + tall), detected=verdict.detected)
        top += tall


def _rows(verdict: Verdict, cascade: ResolvedCascade | None) -> list[list[_Chip]]:
    """Cards in rows of similar length."""
    chips = _chips(verdict, cascade)
    rows = -(-len(chips) // _PER_ROW)
    size = -(-len(chips) // rows)
    return [chips[first : first + size] for first in range(0, len(chips), size)]


def _chips(verdict: Verdict, cascade: ResolvedCascade | None) -> list[_Chip]:
    members = {level.name: tuple(m.model for m in level.members) for level in cascade.levels} if cascade else {}
    names = list(members) or list(verdict.levels_executed) or [verdict.exit_level]
    chips = []
    for name in names:
        said = tuple(opinion for opinion in verdict.opinions if opinion.level == name)
        heard = {opinion.model for opinion in said}
        unasked = tuple(model for model in members.get(name, ()) if model not in heard)
        chips.append(_Chip(name, said, unasked, name in verdict.levels_executed, name == verdict.exit_level))
    return chips


def _draw_chip(
    draw: ImageDraw.ImageDraw, chip: _Chip, box: tuple[float, float, float, float], *, detected: bool
) -> None:
    left, top, right, _ = box
    answer = YES if detected else NO
    shade = (255, 255, 255) if chip.executed else (246, 247, 249)
    draw.rounded_rectangle(box, 8, fill=shade, outline=answer if chip.is_exit else RULE, width=3 if chip.is_exit else 1)
    status, colour = ("asked", SOFT) if chip.executed else ("skipped", FAINT)
    if chip.is_exit:
        status, colour = "answer", answer
    room = right - left - 24 - draw.textlength(status, font=font(13)) - 10
    draw.text(
        (left + 12, top + 9), shorten(draw, chip.name, room, 17), font=font(17), fill=INK if chip.executed else FAINT
    )
    draw.text((right - 12, top + 12), status, font=font(13), fill=colour, anchor="ra")
    y = top + _HEAD
    for opinion in chip.opinions:
        _draw_opinion(draw, opinion, left + 12, right - 12, y)
        y += _LINE
    for model in chip.unasked:
        draw.text((left + 12, y + 4), shorten(draw, model, right - left - 24, 14), font=font(14), fill=FAINT)
        draw.rounded_rectangle((left + 12, y + 25, right - 12, y + 31), 3, fill=(233, 236, 240))
        y += _LINE
    if not chip.opinions and not chip.unasked:
        draw.text((left + 12, y + 8), "counts the votes", font=font(14), fill=SOFT if chip.executed else FAINT)


def _draw_opinion(draw: ImageDraw.ImageDraw, opinion: Opinion, left: float, right: float, y: float) -> None:
    """Draw a model's name and its probability as a bar; a failure is a crossed-out one, no opinion an empty one."""
    p = opinion.probability
    silent = p is None and opinion.failure is None
    value = "no opinion" if silent else "failed" if p is None else f"{p:.3f}"
    room = right - left - draw.textlength(value, font=font(14)) - 10
    draw.text((left, y + 4), shorten(draw, opinion.model, room, 14), font=font(14), fill=INK)
    draw.text((right, y + 4), value, font=font(14), fill=FAINT if silent else YES if p is None else INK, anchor="ra")
    bar = (left, y + 25, right, y + 31)
    if silent:
        draw.rounded_rectangle(bar, 3, outline=FAINT, width=1)
        return
    if p is None:
        draw.rounded_rectangle(bar, 3, outline=YES, width=1)
        for x in range(round(left) + 6, round(right) - 4, 9):
            draw.line((x, y + 31, x + 5, y + 25), fill=YES, width=1)
        return
    draw.rounded_rectangle(bar, 3, fill=(226, 230, 235))
    draw.rounded_rectangle((left, y + 25, max(left + 5, left + (right - left) * p), y + 31), 3, fill=SOFT)
    middle = (left + right) / 2
    draw.line((middle, y + 23, middle, y + 33), fill=INK, width=1)
