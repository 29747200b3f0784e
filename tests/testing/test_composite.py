from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.testing import WORK_KINDS, composite_objects, render_scene


def photograph(high: int = 360, wide: int = 640) -> np.ndarray:
    rng = np.random.default_rng(11)
    rows = np.linspace(210, 70, high)[:, None, None]
    return np.clip(rows + rng.normal(0, 6, (high, wide, 3)), 0, 255).astype(np.uint8)


@given(
    seed=st.integers(0, 2**32),
    high=st.integers(200, 400),
    wide=st.integers(200, 700),
    work=st.booleans(),
    most=st.integers(1, 12),
)
@settings(max_examples=15, deadline=None)
def test_shape_and_boxes_hold(seed: int, high: int, wide: int, work: bool, most: int) -> None:  # noqa: FBT001  # hypothesis
    picture = photograph(high, wide)
    before = picture.copy()
    out, boxes = composite_objects(picture, np.random.default_rng(seed), work=work, max_objects=most)
    assert out.shape == picture.shape
    assert out.dtype == np.uint8
    assert np.array_equal(picture, before)
    assert bool(boxes) is work
    assert len(boxes) <= most
    for box in boxes:
        assert box.kind in WORK_KINDS
        assert 0 <= box.left < box.right <= wide
        assert 0 <= box.top < box.bottom <= high


@pytest.mark.parametrize("work", [True, False])
def test_same_seed_same_bytes(work: bool) -> None:  # noqa: FBT001  # a parameter
    first, boxes = composite_objects(photograph(), np.random.default_rng(9), work=work)
    again, same = composite_objects(photograph(), np.random.default_rng(9), work=work)
    assert first.tobytes() == again.tobytes()
    assert boxes == same


def test_changes_only_the_surroundings_of_what_it_pastes() -> None:
    picture = photograph()
    checked = 0
    for seed in range(15):
        out, boxes = composite_objects(picture, np.random.default_rng(seed), work=True, max_objects=1, jpeg_chance=0)
        box = boxes[0]
        far = np.ones(picture.shape[:2], dtype=bool)
        pad = 6 + (box.bottom - box.top) // 2
        far[max(0, box.top - pad) : box.bottom + pad, max(0, box.left - pad) : box.right + pad] = False
        assert np.array_equal(out[far], picture[far])
        inside = np.s_[box.top : box.bottom, box.left : box.right]
        checked += int(not np.array_equal(out[inside], picture[inside]))
    assert checked == 15


def test_both_labels_change_about_as_much() -> None:
    picture = photograph()
    share = {}
    for work in (True, False):
        rng = np.random.default_rng(1)
        changed = [
            np.mean(np.any(composite_objects(picture, rng, work=work, jpeg_chance=0)[0] != picture, axis=2))
            for _ in range(20)
        ]
        share[work] = float(np.mean(changed))
    assert 0.4 < share[True] / share[False] < 2.5


def test_the_jpeg_round_trip_is_independent_of_the_label() -> None:
    picture = photograph()
    for work in (True, False):
        out, _ = composite_objects(picture, np.random.default_rng(3), work=work, max_objects=1, jpeg_chance=1)
        assert np.mean(np.any(out != picture, axis=2)) > 0.9


def test_it_is_quick() -> None:
    picture = render_scene(1, roadwork=False).pixels
    rng = np.random.default_rng(5)
    start = time.process_time()
    for _ in range(20):
        composite_objects(picture, rng, work=True)
    assert (time.process_time() - start) / 20 < 0.15  # seconds: about 0.025 on the machine it was written on


def test_night_keeps_objects_dark() -> None:
    picture = (photograph() * 0.15).astype(np.uint8)
    out, _ = composite_objects(picture, np.random.default_rng(8), work=True, jpeg_chance=0)
    assert np.percentile(out, 99.5) < 170


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((360, 640), dtype=np.uint8),
        np.zeros((360, 640, 4), dtype=np.uint8),
        np.zeros((360, 640, 3), dtype=np.float32),
        np.zeros((32, 640, 3), dtype=np.uint8),
    ],
)
def test_odd_pictures_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="wanted uint8"):
        composite_objects(picture, np.random.default_rng(0), work=True)


def test_no_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="max_objects"):
        composite_objects(photograph(), np.random.default_rng(0), work=True, max_objects=0)
