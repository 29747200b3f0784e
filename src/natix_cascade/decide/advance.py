"""One step of a cascade: what a round's members said becomes a vote, and pictures leave."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from natix_cascade.decide.arrays import Bools, expect_shape
from natix_cascade.decide.calibration import calibrate_columns
from natix_cascade.decide.exits import sides
from natix_cascade.decide.progress import Progress, Round, rounds, start, wanted
from natix_cascade.decide.vote import pooled, present, share
from natix_cascade.spec.resolved import Level, ResolvedCascade
from natix_cascade.spec.rules import Agreement

__all__ = ["advance", "replay"]

_Rows: TypeAlias = slice | NDArray[np.intp]

_BLOCK = 4096  # pictures replayed at a time: their table stays in the processor's cache


def advance(cascade: ResolvedCascade, progress: Progress, turn: Round, scores: ArrayLike, failed: ArrayLike) -> None:
    """Take in what a round's members said: calibrate, vote, and let pictures out. Changes `progress` in place.

    Only cells that `wanted` names count; scores and failures of other members and of ended pictures are ignored. A
    wanted member with neither a score nor a failure was asked and has no opinion. If nobody whom the vote counts has
    an opinion, the probability so far stays and no exit rule fires. The exit rule is looked at after every round;
    then, if a required member of the level failed, ``escalate`` keeps the picture from leaving (unless this is the
    last level) and ``abort`` ends it with the verdict so far. The last round of the last level ends all that is
    open; a picture for which nobody answered then has probability NaN, which the caller reports as failed.

    Parameters
    ----------
    cascade : ResolvedCascade
        What to obey.
    progress : Progress
        Of n pictures; written to.
    turn : Round
        The round that was asked, with k members.
    scores : (n, k) array of float
        Raw scores in [0, 1]; NaN where there is none.
    failed : (n, k) array of bool
        Members that did not answer (error or out of time); a score beside it is ignored.

    Raises
    ------
    CascadeError
        The shapes do not fit the round.
    """
    level = cascade.levels[turn.level]
    asked = wanted(cascade, progress, turn)
    raw, lost = np.asarray(scores, dtype=np.float64), np.asarray(failed, dtype=np.bool_)
    expect_shape("scores", raw.shape, asked.shape)
    expect_shape("failed", lost.shape, asked.shape)
    rows = _open_rows(progress)
    asked, raw = asked[rows], raw[rows]
    lost = lost[rows] & asked
    members = slice(turn.first, turn.last)
    if turn.first < turn.last:
        calibrators = [member.calibrator for member in level.members if turn.first <= member.column < turn.last]
        heard = np.where(asked & ~lost, raw, np.nan)
        progress.opinions[rows, members] = calibrate_columns(calibrators, heard)
        progress.asked[rows, members] = asked
        progress.failed[rows, members] = lost
    progress.reached[rows] = turn.level + 1
    side = _vote(cascade, progress, turn, rows)
    final = turn.level == len(cascade.levels) - 1
    ended = side != 0
    hurt = _required_failed(level, progress, turn, rows)
    if hurt is not None:
        progress.degraded[rows] |= hurt
        if level.on_failure == "escalate" and not final:
            side[hurt] = 0
            ended &= ~hurt
        elif level.on_failure == "abort":
            ended |= hurt
    if final and turn.last == progress.opinions.shape[1]:
        ended[:] = True
    progress.exit_side[rows] = side
    progress.exit_level[rows] = np.where(ended, turn.level, -1)


def replay(cascade: ResolvedCascade, scores: ArrayLike, failed: ArrayLike | None = None) -> Progress:
    """Run a cascade on records in which every member's score is already known.

    Parameters
    ----------
    cascade : ResolvedCascade
        What to obey.
    scores : (n, M) array of float
        Raw scores in [0, 1] by column; NaN where a member has none.
    failed : (n, M) array of bool, optional
        Members that would fail if asked (default: none).

    Returns
    -------
    Progress
        Of n ended pictures; members that were not asked have no opinion (NaN).

    Raises
    ------
    CascadeError
        The shapes do not fit the cascade.
    """
    table = np.asarray(scores, dtype=np.float64)
    whole = start(cascade, len(table))
    expect_shape("scores", table.shape, whole.opinions.shape)
    lost = np.zeros(table.shape, dtype=np.bool_) if failed is None else np.asarray(failed, dtype=np.bool_)
    expect_shape("failed", lost.shape, table.shape)
    turns = rounds(cascade)
    for begin in range(0, len(table), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        part = Progress(*(getattr(whole, field.name)[block] for field in fields(Progress)))
        for turn in turns:
            if not (part.exit_level < 0).any():
                break
            members = slice(turn.first, turn.last)
            advance(cascade, part, turn, table[block, members], lost[block, members])
    return whole


def _open_rows(progress: Progress) -> _Rows:
    is_open = progress.exit_level < 0
    return slice(None) if is_open.all() else np.flatnonzero(is_open)


def _vote(cascade: ResolvedCascade, progress: Progress, turn: Round, rows: _Rows) -> NDArray[np.int8]:
    """Write the vote and its consensus after a round; return the exit rule's answer per open picture."""
    level = cascade.levels[turn.level]
    first = 0 if level.vote.over == "all" else level.members[0].column if level.members else turn.first
    weights = np.array(level.weights[: turn.last - first], dtype=np.float64)
    who = present(progress.opinions[:, first : turn.last][rows], weights)
    # a member's yes begins at 0.5 here, so that the vote does not move when a fit moves the decision threshold
    p = pooled(level.vote.method, who, threshold=0.5)
    ratio = share(who, p >= level.threshold, level.threshold)
    silent = np.isnan(p)
    if silent.any():
        progress.probability[rows] = np.where(silent, progress.probability[rows], p)
        progress.consensus[rows] = np.where(silent, progress.consensus[rows], ratio)
    else:
        progress.probability[rows] = p
        progress.consensus[rows] = ratio
    given = np.add.reduce(who.weights > 0, axis=1, dtype=np.int64) if isinstance(level.exit, Agreement) else None
    return sides(level.exit, p, level.threshold, ratio, given)


def _required_failed(level: Level, progress: Progress, turn: Round, rows: _Rows) -> Bools | None:
    """Say for which open pictures a required member of the level failed in this round or before; None: for none."""
    if not level.members:
        return None
    first = level.members[0].column
    lost = progress.failed[:, first : turn.last]
    if not lost.any():
        return None
    required = np.array([member.required for member in level.members[: turn.last - first]])
    result: Bools = (lost & required).any(axis=1)[rows]
    return result
