"""Boxes and masks in the picture, and silence in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.report.explain import explain, mark_evidence
from natix_cascade.report.seen import draw_seen, seen_boxes

GREY = np.full((300, 400, 3), 120, np.uint8)
CONE = Box("traffic cone", 0.9, 0.25, 0.5, 0.5, 0.9)


def opinion(evidence: Evidence | None, probability: float | None = 0.8) -> Opinion:
    return Opinion("looker", "detection", probability, probability, 1.0, evidence=evidence)


def verdict(*opinions: Opinion) -> Verdict:
    return Verdict(
        id="p",
        sha256="0" * 64,
        question="roadwork",
        detected=True,
        probability=0.8,
        confidence=0.8,
        consensus_ratio=1.0,
        exit_level="detection",
        levels_executed=("detection",),
        opinions=opinions,
        latency_ms=1.0,
        cost_usd=0.0,
        gmacs=0.0,
        degraded=False,
        reasons=(),
        cascade="c@1",
        policy="none",
    )


def test_nothing_seen_leaves_the_picture_alone() -> None:
    assert mark_evidence(GREY, verdict(opinion(None))) is GREY


def test_a_box_is_drawn_where_it_is() -> None:
    marked = draw_seen(GREY, verdict(opinion(Evidence(boxes=(CONE,)))))
    changed = (marked != GREY).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows.max() == 271
    assert columns.min() == 99
    assert changed[200, 99:202].any()
    assert not changed[155:265, 105:195].any()  # its inside stays visible
    assert not changed[:, 260:].any()
    assert (GREY == 120).all()


def test_a_mask_tints_its_own_pixels_only() -> None:
    mask = np.zeros((6, 8), bool)
    mask[3:, :4] = True
    marked = draw_seen(GREY, verdict(opinion(Evidence(mask=mask))))
    changed = (marked != GREY).any(axis=2)
    assert changed[150:, :200].all()
    assert not changed[:150].any()
    assert not changed[:, 200:].any()


def test_the_strongest_boxes_come_first_and_are_bounded() -> None:
    boxes = tuple(replace(CONE, score=score / 100) for score in range(40))
    best = seen_boxes(verdict(opinion(Evidence(boxes=boxes))), 5)
    assert [round(box.score, 2) for box in best] == [0.39, 0.38, 0.37, 0.36, 0.35]


def test_a_box_outside_or_turned_round_is_no_error() -> None:
    wild = (Box("x", 0.5, 1.4, 1.2, -0.3, -0.1), Box("", 0.1, 0, 0, 0, 0), Box("y" * 200, 0.2, 0.9, 0.9, 1, 1))
    assert draw_seen(GREY, verdict(opinion(Evidence(boxes=wild)))).shape == GREY.shape


def test_an_explanation_shows_who_has_no_opinion() -> None:
    silent = explain(GREY, verdict(opinion(Evidence(text="too bright"), probability=None)))
    failed = explain(GREY, verdict(replace(opinion(None, probability=None), failure="gone")))
    assert (silent != failed).any()


def test_evidence_as_plain_data() -> None:
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    told = Evidence(boxes=(CONE,), text="a cone", mask=mask).as_dict()
    assert told == {
        "boxes": [{"label": "traffic cone", "score": 0.9, "box": [0.25, 0.5, 0.5, 0.9]}],
        "text": "a cone",
        "mask_share": 0.25,
    }
    assert opinion(None).as_dict().get("evidence") is None


def test_boxes_of_several_detectors_become_one() -> None:
    pytest.importorskip("ensemble_boxes", reason="needs the torch extra")
    near = replace(CONE, label="cone", score=0.6, x0=0.26)
    far = replace(CONE, x0=0.8, x1=0.9, score=0.5)
    both = verdict(
        opinion(Evidence(boxes=(CONE, far))), replace(opinion(Evidence(boxes=(near,))), model="another looker")
    )
    first, second = seen_boxes(both)
    assert first.label == second.label == "cone"
    assert 0.25 < first.x0 < 0.26
    assert first.score == pytest.approx(0.75)
    assert second.score == pytest.approx(0.25)  # one of two saw it
