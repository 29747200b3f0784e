"""What was seen becomes a probability: laws and sentences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.decide.evidence import Box
from natix_cascade.models.boxes import Found
from natix_cascade.models.depth import chance_of_share, fit_plane, road_region, standing
from natix_cascade.models.evidence import judge_boxes, judge_text, noisy_or, read_regions, small_mask, terms_in
from natix_cascade.models.prepared import luminance
from natix_cascade.spec.task import Tell

CHANCES = st.lists(st.floats(0, 1), max_size=8)
LABELS = ("traffic cone", "car", "drum")
TELL = Tell(prompt="<OCR>", terms={"road work": 0.9, "cones": 0.5, "déviation": 0.8}, low=0.15, high=0.95)


@given(CHANCES)
def test_noisy_or_is_a_probability_whatever_the_order(chances: list[float]) -> None:
    value = noisy_or(chances)
    assert 0 <= value <= 1
    assert value >= max(chances, default=0) - 1e-12
    assert value <= sum(chances) + 1e-12
    assert noisy_or(reversed(chances)) == pytest.approx(value)


@given(CHANCES, st.floats(0, 1))
def test_more_evidence_never_speaks_against(chances: list[float], more: float) -> None:
    assert noisy_or([*chances, more]) >= noisy_or(chances) - 1e-12
    assert noisy_or([*chances, 0.0]) == noisy_or(chances)
    assert noisy_or([*chances, 1.0]) == 1


def test_boxes_by_hand() -> None:
    found = Found(
        np.array([[-0.1, 0, 0.5, 0.5], [0, 0, 1, 1], [0.2, 0.2, 0.4, 1.3]]),
        np.array([0.9, 0.8, 0.5]),
        np.array([0, 1, 2]),
    )
    score, seen = judge_boxes(found, LABELS, {"traffic cone": 0.5, "drum": 0.8})
    assert score == pytest.approx(1 - (1 - 0.45) * (1 - 0.4))
    assert seen.boxes == (Box("traffic cone", 0.9, 0, 0, 0.5, 0.5), Box("drum", 0.5, 0.2, 0.2, 0.4, 1.0))
    assert judge_boxes(found, LABELS, {})[0] == 0


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("ROAD  WORK\nahead", ["road work"]),
        ("roadwork ahead", []),
        ("a broad work of art", []),
        ("two cones, one DÉVIATION.", ["cones", "déviation"]),
        ("falconesque", []),
        ("", []),
    ],
)
def test_terms_are_whole_words(text: str, terms: list[str]) -> None:
    assert terms_in(text, TELL.terms) == terms
    score, seen = judge_text(TELL, text)
    assert score == pytest.approx(0.15 + 0.8 * noisy_or(TELL.terms[term] for term in terms))
    assert seen.text == (text or None)


def test_regions_are_read() -> None:
    places = "<loc_100><loc_200><loc_300><loc_210><loc_300><loc_400><loc_100><loc_390>"
    text, boxes = read_regions(f"ROAD WORK{places}DETOUR<loc_0><loc_0><loc_999><loc_500>left over")
    assert text == "ROAD WORK\nDETOUR\nleft over"
    assert [box.label for box in boxes] == ["ROAD WORK", "DETOUR"]
    np.testing.assert_allclose([boxes[0].x0, boxes[0].y0, boxes[0].x1, boxes[0].y1], [0.1005, 0.2005, 0.3005, 0.4005])
    assert read_regions("no places at all") == ("no places at all", ())
    assert read_regions("a <loc_5> stray\x1b[31m place") == ("a stray [31m place", ())
    assert read_regions("") == ("", ())


@given(st.text(alphabet="ab <>_loc0123456789", max_size=60))
def test_whatever_is_written_is_read(answer: str) -> None:
    text, boxes = read_regions(answer)
    assert all(0 <= box.x0 <= box.x1 <= 1 and 0 <= box.y0 <= box.y1 <= 1 for box in boxes)
    assert all(box.label in text.split("\n") for box in boxes)


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**31))
def test_small_masks_lose_nothing(rows: int, columns: int, seed: int) -> None:
    mask = np.zeros((rows, columns), bool)
    rng = np.random.default_rng(seed)
    y, x = int(rng.integers(rows)), int(rng.integers(columns))
    mask[y, x] = True
    small = small_mask(mask)
    assert max(small.shape) <= 256
    assert small.sum() == 1
    step = -(-max(rows, columns) // 256)
    assert small[y // step, x // step]


def road(rows: int = 60, columns: int = 80) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:columns]
    return 0.02 + 0.4 * (y / rows) + 0.03 * (x / columns)


def test_a_plain_road_has_nothing_on_it() -> None:
    flat = road()
    np.testing.assert_allclose(fit_plane(flat, road_region(60, 80)), flat, atol=1e-9)
    share, mask = standing(flat, 0.15)
    assert share == 0
    assert not mask.any()
    assert chance_of_share(share, 0.2) == 0


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_what_stands_on_the_road_is_found(noise: float) -> None:
    rng = np.random.default_rng(0)
    depth, thing = road() + rng.normal(0, noise, (60, 80)), np.zeros((60, 80), bool)
    thing[42:54, 30:42] = True
    depth[thing] *= 1.5
    share, mask = standing(depth, 0.15)
    assert share == pytest.approx(thing.sum() / road_region(60, 80).sum(), abs=0.01)
    assert (mask == thing).mean() > 0.99


def test_a_hole_is_not_standing() -> None:
    depth = road()
    depth[42:54, 30:42] *= 0.5
    assert standing(depth, 0.15)[0] == 0


def test_share_becomes_chance() -> None:
    assert chance_of_share(0.2, 0.2) == pytest.approx(0.5)
    shares = np.linspace(0, 1, 11)
    assert (np.diff([chance_of_share(share, 0.2) for share in shares]) > 0).all()
    assert chance_of_share(1.0, 0.2) < 1


@given(st.integers(1, 1200), st.integers(1, 1200), st.integers(0, 255))
def test_light_is_the_mean(rows: int, columns: int, value: int) -> None:
    assert luminance(np.full((rows, columns, 3), value, np.uint8)) == pytest.approx(value / 255)


def test_green_is_lighter_than_blue() -> None:
    green, blue = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    green[..., 1], blue[..., 2] = 255, 255
    assert luminance(green) == pytest.approx(0.587)
    assert luminance(blue) == pytest.approx(0.114)


@given(chances=st.lists(st.floats(0, 1), max_size=6), low=st.floats(0, 0.5), high=st.floats(0.5, 1))
def test_what_is_seen_moves_p_between_its_bounds(chances: list[float], low: float, high: float) -> None:
    boxes = Found(np.tile([0.1, 0.1, 0.5, 0.5], (len(chances), 1)), np.array(chances), np.zeros(len(chances), int))
    score, _ = judge_boxes(boxes, ("cone",), {"cone": 1.0}, low=low, high=high)
    assert low - 1e-12 <= score <= high + 1e-12
    assert judge_boxes(boxes, ("cone",), {}, low=low, high=high)[0] == low
