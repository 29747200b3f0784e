"""Boxes out of raw outputs: by hand, by law, and undone padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.image.resize import fit
from natix_cascade.models.boxes import (
    Found,
    corners,
    decode_detr,
    decode_end_to_end,
    decode_yolo,
    iou,
    sigmoid,
    suppress,
    undo_padding,
)

SIDES = st.integers(1, 400)


def boxes(seed: int, count: int) -> Found:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 80, (count, 2))
    return Found(
        np.concatenate([low, low + rng.uniform(1, 40, (count, 2))], axis=1),
        rng.random(count),
        rng.integers(3, size=count),
    )


def test_detr_by_hand() -> None:
    logits = np.array([[0.0, -9.0], [2.0, 1.0], [-9.0, -9.0]])
    places = np.array([[0.5, 0.5, 0.2, 0.4], [0.25, 0.75, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1]])
    found = decode_detr(logits, places, min_score=0.4)
    assert found.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.scores, sigmoid([2.0, 1.0, 0.0]))
    np.testing.assert_allclose(found.corners, [[0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1], [0.4, 0.3, 0.6, 0.7]])
    assert len(decode_detr(logits, places, min_score=0.0)) == 3  # as many pairs as queries
    assert len(decode_detr(logits, places, min_score=0.9)) == 0


def test_yolo_by_hand() -> None:
    raw = np.array(
        [
            [100, 102, 300, 100],  # centre x of four anchors
            [100, 100, 300, 100],
            [40, 40, 20, 40],
            [20, 20, 20, 20],
            [0.9, 0.8, 0.1, 0.2],  # cone
            [0.1, 0.2, 0.6, 0.7],  # drum
        ]
    )
    found = decode_yolo(raw, min_score=0.5)
    assert found.labels.tolist() == [0, 1, 1]  # the second cone is the first one's twin; a drum at its place is none
    assert found.scores.tolist() == [0.9, 0.7, 0.6]
    assert found.corners.tolist() == [[80, 90, 120, 110], [80, 90, 120, 110], [290, 290, 310, 310]]
    assert len(decode_yolo(raw, min_score=0.95)) == 0


def test_end_to_end_by_hand() -> None:
    rows = np.array([[1, 2, 3, 4, 0.3, 1], [5, 6, 7, 8, 0.9, 0], [0, 0, 1, 1, 0.1, 2]], np.float32)
    found = decode_end_to_end(rows, min_score=0.25)
    assert found.corners.tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]
    assert found.labels.tolist() == [0, 1]


def test_overlap_by_hand() -> None:
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [1, 1, 1, 1]], float)
    np.testing.assert_allclose(iou(np.array([0, 0, 2, 2], float), others), [1, 1 / 7, 0, 0])
    assert iou(np.zeros(4), np.zeros((1, 4))).tolist() == [0]


@given(st.integers(0, 2**31), st.integers(0, 40), st.floats(0.05, 0.95))
def test_suppression_keeps_its_laws(seed: int, count: int, overlap: float) -> None:
    given = boxes(seed, count)
    kept = suppress(given, overlap=overlap)
    assert (np.diff(kept.scores) <= 0).all()
    for index in range(len(kept)):  # no two that stay are twins
        later = slice(index + 1, None)
        twins = (iou(kept.corners[index], kept.corners[later]) > overlap) & (kept.labels[later] == kept.labels[index])
        assert not twins.any()
    for corner, score, label in zip(given.corners, given.scores, given.labels, strict=True):  # who goes had a reason
        better = kept.corners[(kept.scores >= score) & (kept.labels == label)]
        assert len(better)
        assert iou(corner, better).max() > overlap or (better == corner).all(axis=1).any()
    again = suppress(kept, overlap=overlap)
    np.testing.assert_array_equal(again.corners, kept.corners)


def test_suppression_stops_at_the_most() -> None:
    assert len(suppress(boxes(1, 40), overlap=1.0, most=7)) == 7


@given(SIDES, SIDES, SIDES, SIDES, st.tuples(*[st.floats(0, 1)] * 4))
def test_padding_is_undone(rows: int, columns: int, height: int, width: int, share: tuple[float, ...]) -> None:
    grow = min(height / rows, width / columns)
    inner = max(1, round(rows * grow)), max(1, round(columns * grow))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    placed = np.array([share]) * [inner[1], inner[0], inner[1], inner[0]] + [left, top, left, top]
    np.testing.assert_allclose(undo_padding(placed, (height, width), (rows, columns)), [share], atol=1e-9)


@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (64, 64), (700, 1300)])
def test_padding_is_undone_where_pictures_are_truly_padded(shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), np.uint8)
    rows, columns = shape
    y0, y1, x0, x1 = rows // 4, rows // 2, columns // 8, columns // 2
    pixels[y0:y1, x0:x1] = 255
    padded = fit(pixels, 128, 128, mode="pad")
    ys, xs = np.nonzero(padded[:, :, 0] > 200)
    found = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], float)
    wanted = [[x0 / columns, y0 / rows, x1 / columns, y1 / rows]]
    np.testing.assert_allclose(undo_padding(found, (128, 128), shape), wanted, atol=0.02)


@given(st.lists(st.tuples(*[st.floats(-5, 5)] * 4), min_size=1, max_size=5))
def test_centres_and_corners_say_the_same(given: list[tuple[float, ...]]) -> None:
    table = np.array(given)
    found = corners(table)
    np.testing.assert_allclose((found[:, :2] + found[:, 2:]) / 2, table[:, :2], atol=1e-9)
    np.testing.assert_allclose(found[:, 2:] - found[:, :2], table[:, 2:], atol=1e-9)
