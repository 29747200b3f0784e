from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from natix_cascade.decide.verdict import Opinion
from natix_cascade.observe.phoenix.examples import Shown, example
from natix_cascade.observe.phoenix.experiment import find_picture
from natix_cascade.observe.phoenix.trial import Outcome, trial
from natix_cascade.observe.words import word
from natix_cascade.testing.verdicts import some_verdict
from natix_cascade.trace import TraceContext, new_id

VERDICT = some_verdict(
    id="a.jpg",
    sha256="ab" * 32,
    detected=False,
    probability=0.25,
    confidence=0.75,
    consensus_ratio=0.5,
    exit_level="gate",
    levels_executed=("gate",),
    opinions=(Opinion("cheap", "gate", 0.3, 0.25, 2.0), Opinion("dear", "gate", None, None, 9.0, failure="it is gone")),
    latency_ms=12.0,
    cost_usd=0.5,
    gmacs=3.0,
    degraded=True,
    reasons=("gate: no",),
)


def test_figures_count_noes_as_well_as_yeses() -> None:
    yes = dataclasses.replace(VERDICT, detected=True, exit_level="last", latency_ms=20.0, cost_usd=1.5, gmacs=5.0)
    outcomes = [
        Outcome(verdict=VERDICT, truth=False),
        Outcome(verdict=VERDICT, truth=True),
        Outcome(verdict=yes, truth=True),
        Outcome(verdict=yes, truth=None),
        Outcome(verdict=None, truth=True, error="no picture"),
    ]

    found = trial("p@1", "c@1", "id", outcomes)

    assert [each.right for each in outcomes] == [True, False, True, None, None]
    assert (found.judged, found.failed, found.n) == (4, 1, 3)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.mcc == pytest.approx(0.5)  # one hit, one right no, one miss
    assert (found.cost_usd, found.gmacs, found.latency_ms) == (1.0, 4.0, 16.0)
    assert found.exits == {"gate": 2, "last": 2}


def test_without_truth_or_verdicts_there_are_no_figures() -> None:
    unknown = trial("p", "c", "id", [Outcome(verdict=VERDICT, truth=None)])
    nothing = trial("p", "c", "id", [Outcome(verdict=None, truth=True, error="gone")])

    assert (unknown.accuracy, unknown.mcc, unknown.judged) == (None, None, 1)
    assert (nothing.accuracy, nothing.judged, nothing.cost_usd, nothing.exits) == (None, 0, 0.0, {})


def test_an_example_holds_what_is_known() -> None:
    name = new_id()
    shown = Shown(
        verdict=VERDICT, name="a.jpg", truth=True, note="a cone", picture=Path("/pictures/a.jpg"), verdict_id=name
    )

    made = example(shown)

    assert made["id"] == VERDICT.sha256
    assert made["input"] == {"sha256": VERDICT.sha256, "name": "a.jpg", "picture": "/pictures/a.jpg"}
    assert made["output"] == {"label": "roadwork"}
    assert made["span_id"] == TraceContext.of_request(name).span_id
    told = made["metadata"]
    assert (told["why"], told["verdict"], told["note"], told["trace_id"]) == ("wrong", "none", "a cone", name)
    assert told["probabilities"] == {"cheap": 0.25, "dear": None}


def test_an_example_of_which_little_is_known() -> None:
    made = example(Shown(verdict=VERDICT, name="a.jpg"))

    assert "picture" not in made["input"]
    assert made["output"] == {}
    assert "span_id" not in made
    assert made["metadata"]["why"] == "degraded"


def test_words_of_other_questions_are_yes_and_no() -> None:
    assert [word("roadwork", True), word("roadwork", False)] == ["roadwork", "none"]
    assert [word("daylight", True), word("daylight", False)] == ["yes", "no"]


def test_pictures_are_found_where_they_lie_by_name_and_by_digest(tmp_path: Path) -> None:
    kept = tmp_path / "state" / "pictures" / "ab" / f"{VERDICT.sha256}.jpg"
    named = tmp_path / "streets" / "scenes" / "a.jpg"
    for file in (kept, named):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"a picture")
    digest = {"sha256": VERDICT.sha256, "picture": "/gone/x.jpg"}

    assert find_picture({"picture": str(named)}, []) == named
    assert find_picture({"name": "scenes/a.jpg"}, [tmp_path / "nowhere", tmp_path / "streets"]) == named
    assert find_picture({"picture": "/gone/a.jpg"}, [named.parent]) == named
    assert find_picture(digest, [tmp_path / "state"]) == kept
    assert find_picture(digest, [tmp_path / "state" / "pictures"]) == kept
    assert find_picture(digest, []) is None
    assert find_picture({}, [tmp_path]) is None
