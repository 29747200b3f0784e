"""Scripted models do what their scripts say, and count."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from natix_cascade.errors import ModelError, SpecError
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.cascade import Question
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.rules import Agreement, Temperature, Threshold
from natix_cascade.testing import ScriptedLevel, ScriptedModel, make_card, pixels_digest, scripted_cascade


def plain(value: int, *, rows: int = 8) -> np.ndarray:
    return np.full((rows, 8, 3), value, np.uint8)


def scores(model: ScriptedModel, *pictures: np.ndarray) -> list[float]:
    return model.predict([model.prepare(pixels) for pixels in pictures]).scores.tolist()


def test_scripts() -> None:
    assert scores(ScriptedModel("a", 0.3), plain(1), plain(2)) == [0.3, 0.3]
    turns = ScriptedModel("a", [0.1, 0.2, 0.3])
    assert scores(turns, plain(1), plain(1)) == [0.1, 0.2]
    assert scores(turns, plain(1), plain(1)) == [0.3, 0.1]
    assert scores(ScriptedModel("a", lambda pixels: pixels.mean() / 255), plain(51)) == [0.2]
    by_colour = ScriptedModel("a", {(255, 0, 0): 0.9, (0, 0, 0): 0.2, pixels_digest(plain(7)): 0.5})
    red = np.full((8, 8, 3), (240, 30, 20), np.uint8)
    assert scores(by_colour, red, plain(9), plain(7)) == [0.9, 0.2, 0.5]
    with pytest.raises(ModelError, match="knows no picture"):
        scores(ScriptedModel("a", {pixels_digest(plain(7)): 0.5}), plain(8))


def test_digest_depends_on_shape() -> None:
    assert pixels_digest(plain(0, rows=8)) != pixels_digest(plain(0, rows=9))
    assert pixels_digest(plain(0)) != pixels_digest(plain(0).reshape(4, 16, 3))


def test_faults_come_every_so_often() -> None:
    model = ScriptedModel("a", 0.5, fault="error", every=3)
    heard = []
    for _ in range(7):
        try:
            heard.append(scores(model, plain(1)))
        except ModelError:
            heard.append(None)
    assert [each is None for each in heard] == [False, False, True, False, False, True, False]
    assert model.calls == 7
    assert model.pictures == 7
    with pytest.raises(TimeoutError, match="slow"):
        scores(ScriptedModel("a", fault=TimeoutError("slow")), plain(1))
    assert np.isnan(scores(ScriptedModel("a", fault="nan"), plain(1), plain(2))).all()
    assert len(scores(ScriptedModel("a", fault="short"), plain(1), plain(2))) == 1
    assert len(scores(ScriptedModel("a", fault="long"), plain(1), plain(2))) == 3


@pytest.mark.parametrize("free", ["release", "close"])
def test_a_hang_ends_when_told_to(free: str) -> None:
    model, heard = ScriptedModel("a", 0.7, fault="hang"), []
    thread = threading.Thread(target=lambda: heard.append(scores(model, plain(1))))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    assert model.calls == 1
    model.release.set() if free == "release" else model.close()
    thread.join(10)
    assert heard == [[0.7]]


def test_delay_and_counts_from_many_threads() -> None:
    model = ScriptedModel("a", [0.1, 0.9], delay_s=0.02)
    began = time.monotonic()
    threads = [threading.Thread(target=lambda: scores(model, plain(1), plain(2))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - began >= 0.02
    assert model.calls == 8
    assert model.batches == (2,) * 8
    assert model.pictures == 16
    assert model.closed == 0


@pytest.mark.parametrize("wrong", [{"every": 0}, {"fault": "sulk"}, {"answers": []}, {"answers": {}}], ids=str)
def test_a_script_that_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"wanted 1 or more|unknown fault|is empty"):
        ScriptedModel("a", **wrong)


def test_a_cascade_in_three_lines() -> None:
    cheap, dear = ScriptedModel("cheap", 0.6), ScriptedModel("dear", 0.99)
    resolved, models = scripted_cascade([cheap, dear])
    loaded = LoadedCascade(resolved, {}, models=models)
    assert [level.name for level in resolved.levels] == ["level-1", "level-2"]
    assert resolved.levels[0].exit == Threshold(yes=0.9, no=0.1)
    assert loaded.model("dear") is dear
    assert loaded.short_side == 32
    loaded.close()
    assert (cheap.closed, dear.closed) == (1, 1)


def test_levels_in_full() -> None:
    a, b, c = (ScriptedModel(name) for name in "abc")
    level = ScriptedLevel(
        models=(a, b),
        name="panel",
        exit=Agreement(),
        mode="one",
        weights={"a": 2.0},
        bands={"a": (0, 0.5), "b": (0.5, 1)},
        optional=frozenset({"b"}),
        budget_ms=50.0,
        on_failure="abort",
    )
    resolved, _ = scripted_cascade([[c], level], threshold=0.95, deadline_ms=100)
    first, second = resolved.levels
    assert first.exit == Threshold(yes=0.95, no=0.1)
    assert second.name == "panel"
    assert [m.weight for m in second.members] == [2.0, 1.0]
    assert [m.required for m in second.members] == [True, False]
    assert (second.mode, second.budget_ms, second.on_failure) == ("one", 50.0, "abort")
    assert resolved.deadline_ms == 100


def test_policies_and_other_questions() -> None:
    night = ScriptedModel("owl", positive="night", negative="day")
    policy = Policy(name="p", cascade="scripted", calibrators={"owl": Temperature(temperature=2.0)})
    resolved, _ = scripted_cascade([night], policy=policy)
    assert resolved.question == Question(id="night", text="Is it night?", positive="night", negative="day")
    assert resolved.members[0].calibrator == Temperature(temperature=2.0)
    with pytest.raises(SpecError, match="asks for 'night', but model 'lark' answers none, roadwork"):
        scripted_cascade([night, ScriptedModel("lark")])
    with pytest.raises(SpecError, match="repeated: owl"):
        scripted_cascade([night, night])
    with pytest.raises(SpecError, match="has no levels"):
        scripted_cascade([])


def test_cards_say_what_a_test_needs() -> None:
    card = make_card("m", positive="night", negative="day", side=64, gmacs=0.5, usd=0.01)
    assert card.classes == ("day", "night")
    assert (card.input.height, card.input.width) == (64, 64)
    assert (card.cost.gmacs, card.cost.usd) == (0.5, 0.01)
    assert ScriptedModel("other", card=card).card is card


def test_importing_it_brings_no_runtime_in() -> None:
    code = (
        "import sys, natix_cascade.testing.models\n"
        "heavy = {'onnxruntime', 'pydantic', 'yaml', 'torch', 'typer', 'natix_cascade.run'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
