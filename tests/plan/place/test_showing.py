"""What people see: the table, the picture, and the design added up."""

from __future__ import annotations

import io
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_cards import cascade_of, inside, machine_of, server

from natix_cascade.errors import PlanError, SpecError
from natix_cascade.plan.place import Placement, Wish, place
from natix_cascade.plan.place.design import draw_design, examine, read_design
from natix_cascade.plan.place.drawing import draw
from natix_cascade.plan.place.terminal import show
from natix_cascade.plan.place.wording import columns

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def made() -> Placement:
    pytest.importorskip("ortools", reason="placing models needs OR-tools (extra: place)")
    cards = [server(name, {"bf16": size}) for name, size in (("a", 1.0), ("b", 2.0), ("c", 2.0), ("huge", 40.0))]
    cards += [inside("net", 0.3), inside("tiny <&>", 0.01, parameters=10)]
    wish = Wish(concurrency=2, batched_tokens=256, batch=1)
    return place(cascade_of(cards), machine_of(2.0, 3.5, host=32.0), wish)


def told(made: Placement, width: int = 120) -> str:
    out = io.StringIO()
    show(made, Console(file=out, width=width, highlight=False, markup=False))
    return out.getvalue()


def test_the_table_names_everybody(made: Placement) -> None:
    text = told(made)
    for item in made.placed:
        assert item.model in text
    assert f"GPU 1  G-3.5GB: {(made.gpus[1].memory * 0.98 - made.gpus[1].free) / 1e9:.1f} of 3.4 GB" in text
    assert "left out: huge; it needs " in text
    assert "asleep in the host's RAM: " in text
    assert "room to wake a sleeper" in text
    assert max(map(len, told(made, 60).splitlines())) <= 72  # the bars are 72 wide


def test_parts_are_all_of_it(made: Placement) -> None:
    for item in made.placed:
        assert sum(columns(item.parts).values()) == item.parts.total


def test_the_picture_is_svg_whose_bars_are_as_long_as_the_memory(made: Placement) -> None:
    root = ET.fromstring(draw(made))  # noqa: S314 - drawn here
    assert root.tag == f"{SVG}svg"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    style = root.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme:dark" in (style.text or "")
    edges = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "edge"]
    widths = [float(rect.get("width", 0)) for rect in edges]
    assert widths[0] / widths[1] == pytest.approx(2.0 / 3.5, rel=1e-3)
    tips = " ".join(title.text or "" for title in root.iter(f"{SVG}title"))
    assert "tiny <&>" in " ".join(root.itertext())
    assert "wakes into" in tips
    right = [float(r.get("x", 0)) + float(r.get("width", 0)) for r in root.iter(f"{SVG}rect")]
    assert max(right) <= 960


def test_weights_in_the_picture_are_the_weights_of_the_account(made: Placement) -> None:
    root = ET.fromstring(draw(made))  # noqa: S314 - drawn here
    back = max(float(r.get("width", 0)) for r in root.iter(f"{SVG}rect") if r.get("class") == "edge")
    scale = made.gpus[1].memory / back
    drawn = sum(
        float(r.get("width", 0))
        for r in root.iter(f"{SVG}rect")
        if r.get("class") == "weights" and r.get("height") == "34"
    )
    known = sum(columns(i.parts)["weights"] for i in made.placed if not i.asleep for _ in i.gpus)
    assert drawn * scale == pytest.approx(known, rel=0.01)


def test_the_design_breaks_where_it_is_said_to() -> None:
    found = {item.id: item for item in examine()}
    assert not found["gpu-2"].holds
    assert "25.5 GB too much" in found["gpu-2"].sum
    assert (found["small-72b"].said_gb, found["small-72b"].true_gb) == (6.5, 41.0)
    assert not found["small-72b"].holds
    assert found["all-26"].true_gb == pytest.approx(468, abs=2)
    assert "459 GB of weights at int4, llama-4-maverick 225" in found["all-26"].sum
    assert not found["fraction"].holds
    assert "12 GPUs reserved; the machine has 2" in found["reserved"].sum
    assert found["fp8-72b-alone"].true_gb > 80


def test_the_design_is_drawn() -> None:
    root = ET.fromstring(draw_design())  # noqa: S314 - drawn here
    blocks = [r for r in root.iter(f"{SVG}rect") if r.get("class") in {"weights", "kv"} and r.get("height") == "34"]
    assert len(blocks) == 14  # 13 servers, and the small ones together
    limit = next(line for line in root.iter(f"{SVG}line") if line.get("class") == "limit")
    assert float(limit.get("x1", 0)) == pytest.approx(116 + (960 - 24 - 116) * 160 / 468.1, abs=1)


def test_a_design_that_speaks_of_strangers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "design.yaml"
    file.write_text(
        "machine: 1xH100-80GB\ncascade: dual-h100\ngpu_gb: 80\n"
        "claims: [{id: x, kind: weights, said: so, said_gb: 1, model: nobody}]\n",
        "utf-8",
    )
    with pytest.raises(PlanError, match="'nobody'"):
        examine(read_design(file))
    file.write_text("machine: cpu\n", "utf-8")
    with pytest.raises(SpecError, match="gpu_gb"):
        read_design(file)
