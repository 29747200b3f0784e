from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.decide.evidence import Box
from natix_cascade.observe.cases import Case
from natix_cascade.observe.dataset_rows import Mark, Seen, opinion_field, question_of, row_of
from natix_cascade.observe.hard import HARD, WRONG, hardness
from natix_cascade.observe.hardest import hardest
from natix_cascade.spec.cascade import Question

sys.path.insert(0, str(Path(__file__).parent))  # for made_verdicts.py: test folders are not packages
from made_verdicts import made

CASE = Case(
    verdict=made("a.jpg", 0.9, boxes=(Box("cone", 0.7, 0.1, 0.2, 0.35, 0.6),)),
    picture=Path("/pictures/a.jpg"),
    name="a.jpg",
    truth=False,
    group="street",
    split="test",
    place=(48.1, 11.5),
)


def test_a_row_says_what_the_verdict_says_in_the_questions_words() -> None:
    row = row_of(CASE, Question())

    assert (row.filepath, row.sha256) == ("/pictures/a.jpg", CASE.verdict.sha256)
    assert row.truth == Mark(label="none")
    assert row.verdict == Mark(label="roadwork", confidence=0.9, probability=0.9)
    assert row.opinions == {"small:gate": Mark(label="roadwork", confidence=0.9, probability=0.9), "large": None}
    (seen,) = row.seen
    assert seen == Seen(label="cone", confidence=0.7, box=pytest.approx((0.1, 0.2, 0.25, 0.4)), model="small:gate")
    assert row.place == (11.5, 48.1)
    assert row.tags == ("test", "hard", "degraded")
    assert row.values["silent_models"] == ["large"]
    assert (row.values["group"], row.values["split"], row.values["exit_level"]) == ("street", "test", "judge")
    assert row.values["hardness"] == pytest.approx((3 + 0.9) / 4)


def test_no_is_as_sure_as_its_own_probability() -> None:
    row = row_of(replace(CASE, verdict=made("a.jpg", 0.1, degraded=False), truth=None, split=""), Question())
    assert row.verdict == Mark(label="none", confidence=0.9, probability=0.1)
    assert row.opinions["small:gate"] == Mark(label="none", confidence=0.9, probability=0.1)
    assert (row.truth, row.tags) == (None, ())


def test_the_fingerprint_changes_with_the_row_and_with_nothing_else() -> None:
    row = row_of(CASE, Question())
    assert row.fingerprint == row_of(CASE, Question()).fingerprint
    for changed in (replace(CASE, truth=True), replace(CASE, picture=Path("/b.jpg")), replace(CASE, place=None)):
        assert row_of(changed, Question()).fingerprint != row.fingerprint


def test_fields_of_models_are_words_and_never_shared() -> None:
    taken: dict[str, str] = {}
    for model in ("road-gate", "road.gate", "road:gate", "größe"):
        taken[opinion_field(model, taken)] = model
    assert list(taken) == ["opinion_road_gate", "opinion_road_gate_2", "opinion_road_gate_3", "opinion_gr_e"]
    assert all(name.isidentifier() for name in taken)
    assert opinion_field("road:gate", taken) == "opinion_road_gate_3"


def test_the_words_of_a_question() -> None:
    assert (question_of("roadwork").positive, question_of("roadwork").negative) == ("roadwork", "none")
    assert (question_of("flood").positive, question_of("flood").negative) == ("flood", "no flood")


@given(
    st.lists(st.tuples(st.floats(0.001, 0.999), st.floats(0, 1), st.booleans(), st.sampled_from([None, True, False])))
)
def test_the_number_orders_as_the_order_does(parts: list[tuple[float, float, bool, bool | None]]) -> None:
    subjects = [
        Case(verdict=made(f"{n}.jpg", p, consensus_ratio=c, degraded=d), picture=Path("x"), name=str(n), truth=truth)
        for n, (p, c, d, truth) in enumerate(parts)
    ]
    numbers = [hardness(case.verdict, case.truth) for case in hardest(subjects, len(subjects))]
    assert all(a >= b - 1e-12 for a, b in pairwise(numbers))
    assert all(0 <= number <= 1 for number in numbers)
    for case in subjects:
        number = hardness(case.verdict, case.truth)
        assert (number >= WRONG) == (case.truth not in {None, case.verdict.detected}) or number == WRONG
        sure = case.verdict.confidence > 0.8 and not case.verdict.degraded and not case.verdict.disagrees
        assert number >= HARD or sure
