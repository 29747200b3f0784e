from __future__ import annotations

import builtins
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from natix_cascade.errors import MissingExtraError
from natix_cascade.plan.figure import write_plan_png
from natix_cascade.plan.result import Figures, Plan, Point
from natix_cascade.plan.scene import LOOKS, Scene, lay_out
from natix_cascade.plan.wording import Words, times
from natix_cascade.spec.policy import Policy


def a_plan(points: tuple[Point, ...], **changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "unit": "ms",
        "metric": "accuracy",
        "limit": 0.001,
        "delta": None,
        "p_value": None,
        "cost": 0.35,
    } | changes
    cost = fields.pop("cost")
    return Plan(
        policy=Policy(name="p", cascade="c"),
        reference="large",
        budget=None,
        expected=Figures(
            cost=cost, reference_cost=0.57, metric=0.9, reference_metric=0.91, regret=0.01, exit_shares={"a": 1.0}
        ),
        points=points,
        steps=(),
        pictures=10,
        groups=5,
        notes=(),
        created="2025-06-03T14:21:07+00:00",
        **fields,
    )


def points(count: int, *, cost: float = 0.1, growth: float = 1.1, name: str = "small > large") -> tuple[Point, ...]:
    kinds = list(LOOKS)
    return tuple(
        Point(
            name=f"{name} {i}",
            kind="plan" if i >= 2 * len(kinds) else kinds[i % len(kinds)],  # type: ignore[arg-type]
            cost=cost * growth**i,
            metric=0.9 - 0.2 / (i + 1),
            low=0.88 - 0.2 / (i + 1),
            high=0.91 - 0.2 / (i + 1),
            certified=i % 2 == 0,
        )
        for i in range(count)
    )


def boxes(scene: Scene) -> list[tuple[float, float, float, float]]:
    found = []
    for label in scene.labels:
        wide = 6.5 * len(label.text)
        left = label.x - {"start": 0.0, "middle": wide / 2, "end": wide}[label.anchor]
        found.append((left, label.y - 10, left + wide, label.y + 2))
    return found


@pytest.mark.parametrize("view", ["all", "front", "near"])
@pytest.mark.parametrize(("count", "growth"), [(1, 1.0), (9, 1.0), (14, 1.5), (200, 1.05)])
@pytest.mark.parametrize("width", [390.0, 960.0])
def test_names_overlap_neither_each_other_nor_the_edge(view: Any, count: int, growth: float, width: float) -> None:
    scene = lay_out(a_plan(points(count, growth=growth)), view, width, 500.0)
    left, top, right, bottom = scene.area
    found = boxes(scene)
    for box in found:
        assert left - 1 <= box[0]
        assert box[2] <= right + 1
        assert top - 1 <= box[1]
        assert box[3] <= bottom + 1
    for a, b in itertools.combinations(found, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_the_chosen_plan_and_the_reference_have_names() -> None:
    scene = lay_out(a_plan(points(200, growth=1.05)), "all", 960.0, 540.0)
    assert {0, 2} <= {label.point for label in scene.labels}


def test_the_axis_is_logarithmic_where_costs_are_far_apart() -> None:
    near = lay_out(a_plan(points(10, growth=1.3)), "all", 960.0, 540.0)
    far = lay_out(a_plan(points(10, growth=3.0)), "all", 960.0, 540.0)
    assert "logarithmic" not in near.x_title
    assert "logarithmic" in far.x_title
    steps = np.diff([at[0] for at in far.points if at])
    assert np.allclose(steps, steps[0], atol=0.2)


def test_the_front_only_rises() -> None:
    scene = lay_out(a_plan(points(60)), "all", 960.0, 540.0)
    assert len(scene.front) > 2
    for (x0, y0), (x1, y1) in itertools.pairwise(scene.front):
        assert x1 > x0
        assert y1 < y0


def test_zooming_leaves_out_what_is_far_away() -> None:
    bad = Point(name="bad", kind="model", cost=50.0, metric=0.2, low=0.1, high=0.3)
    plan = a_plan((*points(9), bad))
    assert None not in lay_out(plan, "all", 960.0, 540.0).points
    assert lay_out(plan, "front", 960.0, 540.0).points[-1] is None
    near = lay_out(plan, "near", 960.0, 540.0).points
    assert near[0] is not None
    assert near[2] is not None


@pytest.mark.parametrize(
    ("least", "unit", "per"),
    [
        (0.1, "asks", "picture"),
        (0.0, "ms", "picture"),
        (2e-4, "USD", "1,000 pictures"),
        (1e-7, "USD", "million pictures"),
    ],
)
def test_no_cost_is_tiny(least: float, unit: str, per: str) -> None:
    words = Words.of(a_plan(points(3, cost=least), unit=unit.lower(), cost=1.0))
    assert words.picture == per
    assert "0.000" not in words.cost(least)
    assert "e-" not in words.cost(least)


@pytest.mark.parametrize(
    ("cost", "other", "said"),
    [
        (0.35, 0.57, "1.63 times cheaper than it"),
        (0.57, 0.35, "1.63 times as costly as it"),
        (1.0, 1.001, "as costly as it"),
        (0.0, 1.0, "free"),
        (1.0, 0.0, ""),
        (1e-7, 1.5e-3, "15,000 times cheaper than it"),
    ],
)
def test_costs_are_compared_in_words(cost: float, other: float, said: str) -> None:
    assert times(cost, other, "it") == said


@pytest.mark.parametrize("count", [1, 40])
def test_the_png_is_a_picture_of_the_right_size(count: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    odd = points(count, name='$x_{1}$ <&>" \u732b ' + "a" * 60)
    path = write_plan_png(a_plan(odd, delta=0.1, p_value=0.01), tmp_path / "a" / "plan.png")
    with Image.open(path) as picture:
        assert picture.size == (1600, 1000)
        pixels = np.asarray(picture.convert("RGB"))
    assert tuple(pixels[3, 3]) == (255, 255, 255)
    chosen = np.abs(pixels.astype(int) - (0xC2, 0x50, 0x0A)).sum(axis=2) < 20
    assert chosen.sum() > 300
    again = write_plan_png(a_plan(odd, delta=0.1, p_value=0.01), tmp_path / "again.png")
    assert again.read_bytes() == path.read_bytes()


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'natix-cascade\[plots\]'") as error:
        write_plan_png(a_plan(points(3)), tmp_path / "plan.png")
    assert "\n" not in str(error.value)
