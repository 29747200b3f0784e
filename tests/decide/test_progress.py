"""The cascade on arrays: laws over drawn cascades, and each rule by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.decide import (
    Progress,
    Round,
    advance,
    calibrate,
    positive,
    replay,
    rounds,
    start,
    stop,
    thresholds,
    vote,
    wanted,
)
from natix_cascade.errors import CascadeError
from natix_cascade.spec.cascade import Question
from natix_cascade.spec.resolved import Level, Member, ResolvedCascade
from natix_cascade.spec.rules import (
    Agreement,
    Binning,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    Threshold,
    VoteSpec,
    Window,
)

MODES = ["all", "one", "until-agreement"]
EXITS = [None, Threshold(yes=0.8, no=0.2), Agreement(members=2, ratio=0.7), Window(half_width=1.0)]
CALIBRATORS = [
    Identity(),
    Temperature(temperature=1.7),
    Platt(slope=0.8, intercept=0.3),
    Isotonic(scores=(0.1, 0.5, 0.9), probabilities=(0.05, 0.6, 0.9)),
    Binning(edges=(0.3, 0.7), probabilities=(0.1, 0.5, 0.9)),
]
law = settings(deadline=None, max_examples=50)


def cascade_of(*levels: dict) -> ResolvedCascade:
    """Build a cascade from plain entries; members are such entries too, or just their number."""
    built: list[Level] = []
    seen: tuple[Member, ...] = ()
    column = 0
    for index, entry in enumerate(levels):
        given_members = entry.get("members", 1)
        if isinstance(given_members, int):
            given_members = [{} for _ in range(given_members)]
        members = tuple(
            Member(
                column=column + offset,
                model=f"m{column + offset}",
                weight=member.get("weight", 1.0),
                calibrator=member.get("calibrator", Identity()),
                band=member.get("band"),
                required=member.get("required", True),
            )
            for offset, member in enumerate(given_members)
        )
        column += len(members)
        seen += members
        built.append(
            Level(
                index=index,
                name=f"l{index}",
                members=members,
                mode=entry.get("mode", "all"),
                vote=entry.get("vote", VoteSpec()),
                weights=tuple(m.weight for m in (seen if entry.get("vote", VoteSpec()).over == "all" else members)),
                exit=entry.get("exit"),
                threshold=entry.get("threshold", 0.5),
                budget_ms=None,
                on_failure=entry.get("on_failure", "drop"),
            )
        )
    return ResolvedCascade("c@1", "none", Question(), tuple(built), {}, None)


@st.composite
def cascades(draw: st.DrawFn) -> ResolvedCascade:
    levels = []
    for index in range(draw(st.integers(1, 4))):
        size = draw(st.integers(0 if index else 1, 9))
        members = [
            {
                "weight": draw(st.sampled_from([0.0, 0.5, 1.0, 1.3])),
                "calibrator": draw(st.sampled_from(CALIBRATORS)),
                "band": (offset / size, (offset + 1) / size),
                "required": draw(st.booleans()),
            }
            for offset in range(size)
        ]
        levels.append(
            {
                "members": members,
                "mode": draw(st.sampled_from(MODES)),
                "vote": VoteSpec(
                    method=draw(st.sampled_from(["log_odds", "mean", "majority"])),
                    over=draw(st.sampled_from(["level", "all"])),
                ),
                "exit": draw(st.sampled_from(EXITS)),
                "threshold": draw(st.sampled_from([0.3, 0.5, 0.6])),
                "on_failure": draw(st.sampled_from(["drop", "escalate", "abort"])),
            }
        )
    return cascade_of(*levels)


@st.composite
def records(draw: st.DrawFn) -> tuple[ResolvedCascade, np.ndarray, np.ndarray]:
    cascade = draw(cascades())
    shape = (draw(st.integers(1, 9)), len(cascade.members))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = np.where(rng.random(shape) < 0.1, np.nan, rng.random(shape))
    return cascade, scores, rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.9]))


def assert_same(first: Progress, second: Progress, rows: object = slice(None)) -> None:
    for field in fields(Progress):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name)[rows], field.name)


@law
@given(data=records())
def test_many_rows_give_bit_for_bit_what_each_row_gives_alone(
    data: tuple[ResolvedCascade, np.ndarray, np.ndarray],
) -> None:
    cascade, scores, failed = data
    together = replay(cascade, scores, failed)
    for row in range(len(scores)):
        alone = replay(cascade, scores[row : row + 1], failed[row : row + 1])
        assert_same(alone, together, slice(row, row + 1))


@pytest.mark.parametrize("method", ["log_odds", "mean", "majority"])
def test_a_large_table_gives_bit_for_bit_what_its_rows_give_alone(method: str) -> None:
    level = {"members": [{"weight": 0.7 + 0.1 * k, "calibrator": CALIBRATORS[k % 5]} for k in range(13)]}
    level |= {"vote": VoteSpec(method=method), "exit": Window(half_width=0.5)}
    cascade = cascade_of(level, level)
    scores = np.random.default_rng(0).random((9000, 26))
    together = replay(cascade, np.asfortranarray(scores))
    assert 0 < (together.exit_level == 0).mean() < 1
    for row in range(0, 9000, 90):
        assert_same(replay(cascade, scores[row : row + 1]), together, slice(row, row + 1))


@law
@given(data=records(), seed=st.integers(0, 999))
def test_the_order_of_pictures_does_not_matter(data: tuple[ResolvedCascade, np.ndarray, np.ndarray], seed: int) -> None:
    cascade, scores, failed = data
    order = np.random.default_rng(seed).permutation(len(scores))
    assert_same(replay(cascade, scores[order], failed[order]), replay(cascade, scores, failed), order)


@law
@given(data=records())
def test_asking_only_who_is_wanted_gives_the_replay(data: tuple[ResolvedCascade, np.ndarray, np.ndarray]) -> None:
    cascade, scores, failed = data
    progress = start(cascade, len(scores))
    for turn in rounds(cascade):
        ask = wanted(cascade, progress, turn)
        was_open = progress.exit_level < 0
        assert ask.shape == (len(scores), turn.last - turn.first)
        assert not ask[~was_open].any()
        members = slice(turn.first, turn.last)
        advance(cascade, progress, turn, np.where(ask, scores[:, members], np.nan), failed[:, members] & ask)
        np.testing.assert_array_equal(progress.asked[:, members], ask)
    assert_same(progress, replay(cascade, scores, failed))


@law
@given(data=records())
def test_every_picture_ends_and_tells_the_truth_about_it(data: tuple[ResolvedCascade, np.ndarray, np.ndarray]) -> None:
    cascade, scores, failed = data
    end = replay(cascade, scores, failed)
    assert ((end.exit_level >= 0) & (end.exit_level == end.reached - 1)).all()
    assert (np.isnan(end.probability) == np.isnan(end.consensus)).all()
    assert not (end.failed & ~end.asked).any()
    required = np.array([member.required for member in cascade.members])
    np.testing.assert_array_equal(end.degraded, (end.failed & required).any(axis=1))
    answered = end.asked & ~end.failed & ~np.isnan(scores)
    np.testing.assert_array_equal(~np.isnan(end.opinions), answered)
    weights = np.array([member.weight for member in cascade.members])
    if all(level.vote.over == "all" for level in cascade.levels):
        np.testing.assert_array_equal(~np.isnan(end.probability), (answered & (weights > 0)).any(axis=1))
    assert not positive(cascade, end)[np.isnan(end.probability)].any()


@law
@given(data=records())
def test_until_agreement_never_asks_more_than_all(data: tuple[ResolvedCascade, np.ndarray, np.ndarray]) -> None:
    cascade, scores, failed = data
    if len(cascade.levels) > 1:
        return
    (level,) = cascade.levels
    entry = {
        "members": [{"weight": m.weight, "calibrator": m.calibrator, "required": m.required} for m in level.members],
        "vote": level.vote,
        "exit": level.exit,
        "threshold": level.threshold,
        "on_failure": level.on_failure,
    }
    patient = replay(cascade_of(entry | {"mode": "all"}), scores, failed)
    thrifty = replay(cascade_of(entry | {"mode": "until-agreement"}), scores, failed)
    assert not (thrifty.asked & ~patient.asked).any()


@law
@given(data=records())
def test_a_failed_member_is_as_if_it_had_never_been_there(
    data: tuple[ResolvedCascade, np.ndarray, np.ndarray],
) -> None:
    cascade, scores, failed = data
    if any(level.on_failure != "drop" for level in cascade.levels):
        return
    with_failures, with_silence = replay(cascade, scores, failed), replay(cascade, np.where(failed, np.nan, scores))
    np.testing.assert_array_equal(with_failures.probability, with_silence.probability)
    np.testing.assert_array_equal(with_failures.exit_level, with_silence.exit_level)


def test_rounds_are_levels_or_members_or_nobody() -> None:
    cascade = cascade_of({"members": 2}, {"members": 3, "mode": "until-agreement"}, {"members": 0})
    assert rounds(cascade) == (Round(0, 0, 2), Round(1, 2, 3), Round(1, 3, 4), Round(1, 4, 5), Round(2, 5, 5))


def test_a_sure_first_level_saves_the_second() -> None:
    cascade = cascade_of({"exit": Threshold(yes=0.9, no=0.1)}, {"members": 2})
    end = replay(cascade, [[0.95, 0.1, 0.1], [0.5, 0.8, 0.8], [0.02, 0.9, 0.9]])
    assert end.exit_level.tolist() == [0, 1, 0]
    assert end.exit_side.tolist() == [1, 0, -1]
    assert end.reached.tolist() == [1, 2, 1]
    assert end.asked.sum(axis=1).tolist() == [1, 3, 1]
    assert positive(cascade, end).tolist() == [True, True, False]
    assert end.consensus.tolist() == [1.0, 1.0, 1.0]
    assert end.probability[1] == vote("log_odds", [[0.5, 0.8, 0.8]], [1, 1, 1])[0]


def test_scores_are_calibrated_before_they_vote() -> None:
    line = Platt(slope=0.5, intercept=1.0)
    end = replay(cascade_of({"members": [{"calibrator": line}]}), [[0.3]])
    assert end.opinions[0, 0] == end.probability[0] == calibrate(line, [0.3])[0]


def test_one_member_is_picked_by_its_band() -> None:
    bands = [(0.0, 0.4), (0.4, 0.7), (0.8, 1.0)]
    picked = {"members": [{"band": band, "weight": w} for band, w in zip(bands, (1, 3, 1), strict=True)], "mode": "one"}
    cascade = cascade_of({}, picked)
    progress = start(cascade, 6)
    first, second = rounds(cascade)
    advance(cascade, progress, first, [[0.1], [0.4], [0.75], [0.9], [1.0], [np.nan]], np.zeros((6, 1), dtype=bool))
    assert wanted(cascade, progress, second).argmax(axis=1).tolist() == [0, 1, 1, 2, 2, 1]
    assert (wanted(cascade, progress, second).sum(axis=1) == 1).all()
    progress.probability[:] = [1.0, 0.0, 0.7, 0.8, 0.4, np.nan]
    assert wanted(cascade, progress, second).argmax(axis=1).tolist() == [2, 0, 1, 2, 1, 1]


def test_until_agreement_stops_asking_when_two_agree() -> None:
    cascade = cascade_of({"members": 3, "mode": "until-agreement", "exit": Agreement(members=2, ratio=1.0)})
    end = replay(cascade, [[0.9, 0.8, 0.1], [0.9, 0.1, 0.8], [0.1, np.nan, 0.2]])
    assert end.asked.tolist() == [[True, True, False], [True, True, True], [True, True, True]]
    assert end.exit_side.tolist() == [1, 0, -1]
    assert end.consensus.tolist() == [1.0, 2 / 3, 1.0]


@pytest.mark.parametrize(
    ("on_failure", "exit_level", "exit_side", "asked"),
    [("drop", 0, 1, 2), ("escalate", 1, 0, 3), ("abort", 0, 1, 2)],
)
def test_what_a_failure_does_to_a_picture_that_could_leave(
    on_failure: str, exit_level: int, exit_side: int, asked: int
) -> None:
    cascade = cascade_of({"members": 2, "exit": Threshold(yes=0.9), "on_failure": on_failure}, {})
    end = replay(cascade, [[0.99, 0.5, 0.6]], [[False, True, False]])
    assert (end.exit_level[0], end.exit_side[0], end.asked.sum()) == (exit_level, exit_side, asked)
    assert end.degraded[0]


def test_abort_ends_an_unsure_picture_with_the_verdict_so_far() -> None:
    cascade = cascade_of({}, {"members": 1, "on_failure": "abort", "vote": VoteSpec(over="level")}, {})
    end = replay(cascade, [[0.6, 0.1, 0.1]], [[False, True, False]])
    assert (end.exit_level[0], end.exit_side[0], end.reached[0]) == (1, 0, 2)
    assert end.probability[0] == 0.6
    assert positive(cascade, end)[0]


@pytest.mark.parametrize("on_failure", ["drop", "escalate", "abort"])
def test_a_member_that_is_not_required_only_drops_out(on_failure: str) -> None:
    members = [{}, {"required": False}]
    cascade = cascade_of({"members": members, "exit": Threshold(yes=0.9), "on_failure": on_failure}, {})
    end = replay(cascade, [[0.99, 0.5, 0.5]], [[False, True, False]])
    assert (end.exit_level[0], end.exit_side[0]) == (0, 1)
    assert not end.degraded[0]


def test_a_picture_that_was_kept_from_leaving_has_no_side_when_time_runs_out() -> None:
    cascade = cascade_of({"members": 2, "exit": Threshold(yes=0.9), "on_failure": "escalate"}, {})
    progress = start(cascade, 1)
    advance(cascade, progress, rounds(cascade)[0], [[0.99, np.nan]], [[False, True]])
    assert progress.exit_level[0] == -1
    stop(cascade, progress, [True])
    assert (progress.exit_level[0], progress.exit_side[0]) == (0, 0)


def test_escalate_lets_the_last_level_exit() -> None:
    cascade = cascade_of({"members": 2, "exit": Threshold(yes=0.9), "on_failure": "escalate"})
    end = replay(cascade, [[0.99, 0.5]], [[False, True]])
    assert (end.exit_level[0], end.exit_side[0], bool(end.degraded[0])) == (0, 1, True)


def test_an_early_failure_in_a_level_still_escalates_after_later_rounds() -> None:
    level = {"members": 2, "mode": "until-agreement", "exit": Threshold(yes=0.9), "on_failure": "escalate"}
    end = replay(cascade_of(level, {}), [[0.1, 0.99, 0.99]], [[True, False, False]])
    assert end.exit_level[0] == 1


def test_nobody_answered() -> None:
    cascade = cascade_of({"members": 2}, {"members": 0})
    end = replay(cascade, [[0.9, 0.9]], [[True, True]])
    assert np.isnan(end.probability[0])
    assert np.isnan(end.consensus[0])
    assert (end.exit_level[0], end.exit_side[0], bool(end.degraded[0])) == (1, 0, True)


def test_a_level_of_its_own_vote_keeps_the_probability_when_it_is_silent() -> None:
    cascade = cascade_of({}, {"vote": VoteSpec(over="level"), "exit": Threshold(yes=0.5)}, {"members": 0})
    end = replay(cascade, [[0.7, np.nan], [0.7, 0.2]])
    assert end.probability[0] == 0.7
    assert end.exit_level.tolist() == [2, 2]
    assert end.asked.all()


def test_a_deadline_ends_open_pictures_only() -> None:
    cascade = cascade_of({"exit": Threshold(yes=0.9)}, {})
    progress = start(cascade, 4)
    advance(cascade, progress, rounds(cascade)[0], [[0.95], [0.6], [0.6], [0.4]], np.zeros((4, 1), dtype=bool))
    stop(cascade, progress, [True, True, False, True])
    assert progress.exit_level.tolist() == [0, 0, -1, 0]
    assert progress.exit_side.tolist() == [1, 0, 0, 0]
    assert progress.degraded.tolist() == [False, True, False, True]
    assert positive(cascade, progress).tolist() == [True, True, True, False]
    fresh = start(cascade, 1)
    stop(cascade, fresh, [True])
    assert fresh.exit_level[0] == 0
    assert np.isnan(fresh.probability[0])


def test_the_threshold_is_that_of_the_level_at_which_a_picture_ended() -> None:
    cascade = cascade_of({"exit": Threshold(no=0.45), "threshold": 0.3}, {"members": 0, "threshold": 0.7})
    end = replay(cascade, [[0.6], [0.8], [0.4]])
    assert thresholds(cascade, end).tolist() == [0.7, 0.7, 0.3]
    assert positive(cascade, end).tolist() == [False, True, False]  # the last by its rule, above its threshold
    assert thresholds(cascade, start(cascade, 1)).tolist() == [0.3]


def test_no_pictures_are_fine() -> None:
    assert replay(cascade_of({}, {"members": 0}), np.empty((0, 1))).probability.shape == (0,)


def test_shapes_are_checked() -> None:
    cascade = cascade_of({"members": 2})
    progress = start(cascade, 3)
    (turn,) = rounds(cascade)
    with pytest.raises(CascadeError, match=r"scores has shape \(3, 1\)"):
        advance(cascade, progress, turn, np.zeros((3, 1)), np.zeros((3, 1), dtype=bool))
    with pytest.raises(CascadeError, match="failed has shape"):
        advance(cascade, progress, turn, np.zeros((3, 2)), np.zeros((3, 1), dtype=bool))
    with pytest.raises(CascadeError, match="scores has shape"):
        replay(cascade, np.zeros((3, 5)))
    with pytest.raises(CascadeError, match="failed has shape"):
        replay(cascade, np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(CascadeError, match="mask has shape"):
        stop(cascade, progress, [True])
