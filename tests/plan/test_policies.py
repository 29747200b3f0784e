"""A chain on the board, and the policy that is made of it: the same answers, picture by picture."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import labelled, yes_no

from natix_cascade.errors import RecordsError
from natix_cascade.plan.board import Board, Levels
from natix_cascade.plan.choose import draws_of
from natix_cascade.plan.exits import fit_exits, walk
from natix_cascade.plan.loss import Prices, metric_of
from natix_cascade.plan.opinions import fit_calibrators, opinions_with
from natix_cascade.plan.policies import answer, answer_reference, figures, layout_of, reference_policy
from natix_cascade.plan.records import Records
from natix_cascade.plan.references import make_reference, metric_interval, named_points, parse_reference
from natix_cascade.spec.build import plain
from natix_cascade.spec.files import read_spec
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import resolve_layout
from natix_cascade.spec.rules import ByLabel, Calibrator, Threshold

law = settings(deadline=None, max_examples=30)
COST = np.array([1.0, 4.0, 40.0])
LEVELS: list[Levels] = [
    ((0,),),
    ((0, 1, 2),),
    ((0,), (2,)),
    ((2,), (0,)),
    ((0, 1), (2,)),
    ((1,), (0,), (2,)),
]


def workbench(records: Records, **options: object) -> tuple[Board, list[Calibrator]]:
    """A board whose opinions are those of the calibrators that the policy will have."""
    calibrators = fit_calibrators(records)
    voting = "log_odds" if records.yes_no else "mean"
    given = {"prices": Prices(), "voting": voting} | options
    return Board(opinions_with(records, calibrators), COST, np.zeros(3), **given), calibrators  # type: ignore[arg-type]


def policy_of(
    board: Board, calibrators: list[Calibrator], levels: Levels, borders: list[np.ndarray], records: Records
) -> Policy:
    layout, own = layout_of(board, levels, borders, records.models, records.labels)
    return Policy(
        name="p",
        cascade="c",
        calibrators={records.models[c]: calibrators[c] for level in levels for c in level},
        levels=own,
        layout=layout,
        labels=() if records.yes_no else records.labels,
    )


@pytest.mark.parametrize("kind", ["yes and no", "mean of yes and no", "labels", "anchored"])
@law
@given(data=st.data(), price=st.floats(2, 2_000), seed=st.integers(0, 50))
def test_a_policy_answers_as_its_chain_does(kind: str, data: st.DataObject, price: float, seed: int) -> None:
    records = labelled(400, seed, kinds=3) if kind == "labels" else yes_no(400, seed)
    more = {"mean of yes and no": {"voting": "mean"}, "anchored": {"anchor": (2,)}}.get(kind, {})
    board, calibrators = workbench(records, **more)
    levels = data.draw(st.sampled_from(LEVELS))
    chain = board.chain(levels)
    borders = fit_exits(chain, price, board.opinions.weight)
    if data.draw(st.booleans()):  # any thresholds, not the fitted ones only
        some = st.integers(0, board.bins)
        borders = [np.array([data.draw(some) for _ in range(board.kinds)]) for _ in borders]
    way = walk(chain, borders)
    done = answer(resolve_layout(policy_of(board, calibrators, levels, borders, records)), records)
    np.testing.assert_array_equal(done.level, way.level)
    np.testing.assert_array_equal(done.answer, board.winners(levels)[np.arange(400), way.level])
    np.testing.assert_allclose(done.cost(dict(zip(records.models, COST, strict=True))), way.cost)
    shares = done.exit_shares(np.ones(400))
    assert sum(shares.values()) == pytest.approx(1)
    assert [*shares.values()] == pytest.approx([float((way.level == k).mean()) for k in range(len(levels))])


def test_a_policy_goes_through_json_whole(tmp_path: Path) -> None:
    for records in (yes_no(400, 0), labelled(600, 0)):
        board, calibrators = workbench(records)
        levels: Levels = ((0,), (1,), (2,))
        borders = fit_exits(board.chain(levels), 300.0, board.opinions.weight)
        policy = policy_of(board, calibrators, levels, borders, records)
        file = tmp_path / "p.json"
        file.write_text(json.dumps(plain(policy)))
        again = read_spec(file, Policy)
        assert again == policy
        np.testing.assert_array_equal(
            answer(resolve_layout(again), records).answer, answer(resolve_layout(policy), records).answer
        )


def test_exits_that_nobody_or_everybody_takes() -> None:
    records = yes_no(300, 1)
    board, calibrators = workbench(records)
    levels: Levels = ((0,), (2,))
    for borders, rule in (
        ([np.full(2, board.bins)], Threshold()),
        ([np.array([board.bins, 0])], None),
        ([np.array([0, 0])], None),
    ):
        policy = policy_of(board, calibrators, levels, borders, records)
        own = policy.levels["gate"]
        assert rule is None or own.exit == rule
        assert isinstance(own.exit, Threshold)
        done = answer(resolve_layout(policy), records)
        first = board.know((0,)).state.winner
        left = borders[0][first] == 0
        assert ((done.level == 0) == left).all()
        assert (done.answer[left] == first[left]).all()


def test_rare_labels_leave_by_the_shared_threshold() -> None:
    records = labelled(1_500, 0, kinds=6)
    board, calibrators = workbench(records)
    levels: Levels = ((0,), (2,))
    borders = [np.arange(board.kinds) + 3]
    rule = policy_of(board, calibrators, levels, borders, records).levels["gate"].exit
    assert isinstance(rule, ByLabel)
    edges = board.know((0,)).edges
    assert rule.default == edges[2]
    assert rule.labels == {
        label: edges[board.kind_of(k) + 2] for k, label in enumerate(records.labels) if board.kind_of(k)
    }
    assert 0 < len(rule.labels) < 6


@pytest.mark.parametrize("text", ["best", "small", "vote", "vote:gate, large"])
@pytest.mark.parametrize("metric", ["accuracy", "mcc"])
def test_a_reference_answers_alone_as_it_does_on_the_board(text: str, metric: str) -> None:
    records = yes_no(500, 2, yes=0.2)
    board, calibrators = workbench(records)
    name, columns = parse_reference(text, records, board.opinions, metric)  # type: ignore[arg-type]  # a literal
    reference, price = make_reference(
        name,
        columns,
        records,
        board.opinions,
        calibrators,
        metric,
        "log_odds",  # type: ignore[arg-type]  # a literal
    )
    done = answer_reference(reference, records)
    again, _ = workbench(records, prices=price)
    assert (done.answer == again.know(columns).state.winner).mean() > 0.99
    if metric == "accuracy":
        assert price == Prices()
        np.testing.assert_array_equal(done.answer, again.know(columns).state.winner)
    assert done.asked.all()
    assert set(done.cascade.models) == {records.models[c] for c in columns}
    assert reference_policy(reference).layout == (reference.level,)


def test_references_by_name() -> None:
    records = yes_no(500, 2)
    opinions = workbench(records)[0].opinions

    def parsed(text: str) -> tuple[str, tuple[int, ...]]:
        return parse_reference(text, records, opinions, "accuracy")

    assert parsed("best") == ("large", (2,))
    assert parsed("gate") == ("gate", (0,))
    assert parsed("vote") == parsed("ensemble") == ("vote", (0, 1, 2))
    assert parsed("vote: large ,gate")[1] == (0, 2)
    for text, message in (
        ("huge", "reference 'huge' is not in these records; give best, vote, vote:a,b,c or one of gate, small, large"),
        ("vote:gate,huge", "no model 'huge' in these records"),
        ("vote:", "name different models"),
        ("vote:gate,gate", "name different models"),
    ):
        with pytest.raises(RecordsError, match=message):
            parsed(text)


def test_figures_by_hand() -> None:
    records = yes_no(400, 3)
    weight = np.random.default_rng(0).uniform(0.5, 2, 400)
    board, calibrators = workbench(records)
    levels: Levels = ((0,), (2,))
    borders = fit_exits(board.chain(levels), 100.0, board.opinions.weight)
    own = answer(resolve_layout(policy_of(board, calibrators, levels, borders, records)), records)
    reference, _ = make_reference("large", (2,), records, board.opinions, calibrators, "accuracy", "log_odds")
    base = answer_reference(reference, records)
    found = figures(own, base, records.rows(np.arange(400)), COST, "accuracy")
    assert found.cost == pytest.approx(1 + 40 * (own.level == 1).mean())
    assert found.reference_cost == 40
    assert found.regret == pytest.approx(found.reference_metric - found.metric)
    assert found.metric == pytest.approx((own.answer == records.label).mean())
    assert sum(found.exit_shares.values()) == pytest.approx(1)
    weighed = figures(own, base, replace(records, weight=weight), COST, "accuracy")
    assert weighed.metric == pytest.approx(np.average(own.answer == records.label, weights=weight))
    assert weighed.cost == pytest.approx(np.average(1 + 40 * (own.level == 1), weights=weight))


def test_who_is_not_in_the_records_cannot_be_replayed() -> None:
    records = yes_no(100, 0)
    board, calibrators = workbench(records)
    policy = policy_of(board, calibrators, ((0,), (2,)), [np.array([3, 3])], records)
    with pytest.raises(RecordsError, match="no model 'large' in these records, which have gate, small"):
        answer(resolve_layout(policy), records.only(["gate", "small"]))
    swapped = records.only(["large", "small", "gate"])  # the order of columns is no matter
    np.testing.assert_array_equal(
        answer(resolve_layout(policy), swapped).answer, answer(resolve_layout(policy), records).answer
    )


def test_named_points_are_what_they_say() -> None:
    records = yes_no(1_500, 4)
    board, _ = workbench(records)
    opinions = board.opinions
    draws = draws_of(opinions.group, opinions.weight, seed=0)
    points = named_points(board, records, "accuracy", draws, (2,), 0.01)
    by_kind = {kind: [p for p in points if p.kind == kind] for kind in {p.kind for p in points}}
    assert set(by_kind) == {"reference", "model", "vote", "agreement", "threshold"}
    (reference,) = by_kind["reference"]
    assert (reference.name, reference.cost, reference.levels) == ("large", 40, (("large",),))
    for point in points:
        assert point.low <= point.metric <= point.high
    answers = [board.know((j,)).state.winner for j in range(3)]
    for point in [reference, *by_kind["model"]]:
        column = records.column(point.name)
        assert point.metric == pytest.approx((answers[column] == opinions.truth).mean())
        assert metric_interval("accuracy", opinions.truth, answers[column], draws) == (point.low, point.high)
    (agreement,) = by_kind["agreement"]
    same = answers[0] == answers[1]
    assert agreement.name == "gate = small, else large"
    assert agreement.cost == pytest.approx(5 + 40 * (~same).mean())
    assert agreement.metric == pytest.approx(
        np.where(same, answers[0] == opinions.truth, answers[2] == opinions.truth).mean()
    )
    (vote,) = by_kind["vote"]
    assert (vote.cost, vote.levels) == (45, (("gate", "small", "large"),))
    (threshold,) = by_kind["threshold"]
    assert reference.metric - threshold.metric <= 0.01 + 1e-9
    assert threshold.cost < 40
    assert metric_of("accuracy", opinions.truth, answers[2], opinions.weight) == pytest.approx(reference.metric)
