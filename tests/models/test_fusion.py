"""Boxes of several models as one set."""

from __future__ import annotations

import sys

import pytest

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.errors import MissingExtraError
from natix_cascade.models.fusion import fuse_boxes

CONE = Box("traffic cone", 0.8, 0.1, 0.1, 0.3, 0.5)
ALMOST = Box("cone", 0.4, 0.12, 0.1, 0.32, 0.5)
TRUCK = Box("truck", 0.6, 0.5, 0.5, 0.9, 0.9)
FLAT = Box("truck", 0.9, 0.5, 0.5, 0.5, 0.9)


def fused(*args: object, **kwargs: object) -> tuple[Box, ...]:
    pytest.importorskip("ensemble_boxes", reason="needs ensemble-boxes")
    return fuse_boxes(*args, **kwargs)


def test_two_that_agree_become_one() -> None:
    both = fused({"a": Evidence(boxes=(CONE,)), "b": Evidence(boxes=(ALMOST,))})
    assert [box.label for box in both] == ["cone"]
    assert both[0].score == pytest.approx(0.6)
    assert both[0].x0 == pytest.approx((0.8 * 0.1 + 0.4 * 0.12) / 1.2)


def test_weights_count() -> None:
    seen = {"a": Evidence(boxes=(CONE,)), "b": Evidence(boxes=(ALMOST,))}
    heavy = fused(seen, {"a": 3.0})
    assert heavy[0].score == pytest.approx((3 * 0.8 + 0.4) / 4)
    assert heavy[0].x0 < fused(seen)[0].x0


def test_what_one_of_three_saw_is_weak() -> None:
    alone = fused({"a": Evidence(boxes=(CONE, TRUCK)), "b": None, "c": Evidence(text="nothing")})
    assert [(box.label, round(box.score, 6)) for box in alone] == [("cone", round(0.8 / 3, 6)), ("machine", 0.2)]
    assert (alone[1].x0, alone[1].y1) == pytest.approx((0.5, 0.9))


def test_groups_can_be_named() -> None:
    seen = {"a": Evidence(boxes=(CONE,)), "b": Evidence(boxes=(ALMOST,))}
    assert sorted(box.label for box in fused(seen, groups={})) == ["cone", "traffic cone"]


def test_nothing_and_boxes_without_area() -> None:
    assert fused({}) == ()
    assert fused({"a": None, "b": Evidence(boxes=(FLAT,))}) == ()


def test_without_the_library_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensemble_boxes", None)
    with pytest.raises(MissingExtraError, match="fused by ensemble-boxes, which is not installed: pip install"):
        fuse_boxes({"a": Evidence(boxes=(CONE,))})
