from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.testing import DISTRACTOR_KINDS, WORK_KINDS, render_object

KINDS = (*WORK_KINDS, *DISTRACTOR_KINDS)


@pytest.mark.parametrize("height", [8, 30, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_renders_at_every_height(kind: str, height: int) -> None:
    sprite = render_object(kind, np.random.default_rng(1), height)
    assert sprite.dtype == np.uint8
    assert sprite.shape[0] == height
    assert sprite.shape[2] == 4
    assert sprite[..., 3].max() > 100


@pytest.mark.parametrize("kind", KINDS)
def test_sprites_are_cropped_to_what_is_visible(kind: str) -> None:
    alpha = render_object(kind, np.random.default_rng(3), 120)[..., 3]
    assert alpha[0].any()
    assert alpha[-1].any()
    assert alpha[:, 0].any()
    assert alpha[:, -1].any()


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32), height=st.integers(8, 90))
@settings(max_examples=40, deadline=None)
def test_same_seed_same_bytes(kind: str, seed: int, height: int) -> None:
    first = render_object(kind, np.random.default_rng(seed), height)
    again = render_object(kind, np.random.default_rng(seed), height)
    assert first.tobytes() == again.tobytes()
    assert first.shape == again.shape
    assert first.shape[0] == height


@pytest.mark.parametrize("kind", ["cone", "drum", "barricade", "work_sign"])
def test_individuals_differ(kind: str) -> None:
    rng = np.random.default_rng(5)
    assert len({render_object(kind, rng, 40).tobytes() for _ in range(12)}) == 12


def test_one_style_looks_alike() -> None:
    def tint(sprite: np.ndarray) -> np.ndarray:
        return np.median(sprite[sprite[..., 3] > 250][:, :3], axis=0)

    rng = np.random.default_rng(5)
    alike = [render_object("drum", rng, 60, style=3) for _ in range(8)]
    others = [render_object("drum", rng, 60) for _ in range(8)]
    assert len({sprite.tobytes() for sprite in alike}) == 8
    assert np.std([tint(s) for s in alike], axis=0).mean() < np.std([tint(s) for s in others], axis=0).mean()


def test_cones_are_loud() -> None:
    rng = np.random.default_rng(2)
    loud = 0
    for _ in range(40):
        sprite = render_object("cone", rng, 60).astype(np.int32)
        solid = sprite[sprite[..., 3] > 200]
        loud += int(np.mean(solid[:, 0] - solid[:, 2] > 60) > 0.2)
    assert loud > 30


def test_sides_are_shaded_and_edges_are_soft() -> None:
    sprite = render_object("drum", np.random.default_rng(4), 100)
    assert ((sprite[..., 3] > 20) & (sprite[..., 3] < 235)).sum() > 50
    assert len(np.unique(sprite[50, sprite[50, :, 3] > 250, 0])) > 8


def test_kinds_do_not_overlap() -> None:
    assert not set(WORK_KINDS) & set(DISTRACTOR_KINDS)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind 'unicorn'"):
        render_object("unicorn", np.random.default_rng(0), 30)


@pytest.mark.parametrize("height", [7, 401, -1])
def test_odd_heights_are_refused(height: int) -> None:
    with pytest.raises(ValueError, match="8 to 400"):
        render_object("cone", np.random.default_rng(0), height)
