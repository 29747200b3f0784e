from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import ModelError
from natix_cascade.image import Picture, decode
from natix_cascade.models.base import Answers
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import ModelOptions, RunnerOptions
from natix_cascade.run.runner import Runner
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.rules import Agreement, ExitRule, Platt, Temperature, Threshold, VoteSpec, Window
from natix_cascade.testing import ScriptedLevel, ScriptedModel, scripted_cascade

PICTURES = 6


def numbered(number: int) -> Picture:
    return Picture(np.full((2, 2, 3), number, np.uint8), f"p{number}", f"{number:064x}", "png", 2, 2)


def essence(result: Verdict | BaseException) -> Any:
    """Everything of a verdict but its times; of an error what it is and says."""
    if isinstance(result, BaseException):
        return type(result), str(result)
    data = result.as_dict()
    del data["latency_ms"]
    for said in data["model_predictions"].values():
        for name in ("latency_ms", "began_ms", "queue_ms", "batch_size"):
            said.pop(name, None)
    return data, list(data["model_predictions"])


def scripted(name: str, answers: Sequence[float | None]) -> ScriptedModel:
    """Answers by the picture's number; None: it fails."""

    def script(pixels: NDArray[np.uint8]) -> float:
        answer = answers[int(pixels[0, 0, 0])]
        if answer is None:
            raise ModelError(f"{name} has no answer")
        return answer

    return ScriptedModel(name, script)


EXITS: st.SearchStrategy[ExitRule | None] = st.one_of(
    st.none(),
    st.builds(Threshold, yes=st.one_of(st.none(), st.floats(0.6, 1.0)), no=st.one_of(st.none(), st.floats(0.0, 0.3))),
    st.builds(Agreement, members=st.integers(1, 3), ratio=st.floats(0.51, 1.0)),
    st.builds(Window, half_width=st.floats(0.0, 3.0)),
)
VOTES = st.builds(
    VoteSpec, method=st.sampled_from(["log_odds", "mean", "majority"]), over=st.sampled_from(["level", "all"])
)
ANSWERS = st.one_of(st.floats(0, 1), st.none(), st.just(float("nan")), st.just(1.5))


@st.composite
def cascades(draw: st.DrawFn) -> tuple[list[ScriptedLevel], float, Policy]:
    levels: list[ScriptedLevel] = []
    names: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        count = draw(st.integers(0 if number else 1, 3))
        mine = [f"m{len(names) + k}" for k in range(count)]
        names += mine
        mode = draw(st.sampled_from(["all", "one", "until-agreement"])) if mine else "all"
        edges = np.linspace(0, 1, count + 1)
        levels.append(
            ScriptedLevel(
                models=tuple(
                    scripted(name, draw(st.lists(ANSWERS, min_size=PICTURES, max_size=PICTURES))) for name in mine
                ),
                mode=mode,
                vote=draw(VOTES),
                exit=draw(EXITS),
                weights={name: draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])) for name in mine},
                bands={name: (float(edges[k]), float(edges[k + 1])) for k, name in enumerate(mine)},
                optional=frozenset(draw(st.sets(st.sampled_from(mine)))) if mine else frozenset(),
                on_failure=draw(st.sampled_from(["drop", "escalate", "abort"])),
            )
        )
    some = st.one_of(
        st.builds(Platt, slope=st.floats(0.3, 3), intercept=st.floats(-2, 2)),
        st.builds(Temperature, temperature=st.floats(0.3, 3)),
    )
    threshold = draw(st.floats(0.35, 0.59))
    calibrators = draw(st.dictionaries(st.sampled_from(names), some))
    return levels, threshold, Policy(name="drawn", cascade="scripted", threshold=threshold, calibrators=calibrators)


async def one_by_one_and_at_once(runner: Runner, pictures: list[Picture]) -> tuple[list[Any], list[Any]]:
    alone = [(await asyncio.gather(runner.detect(picture), return_exceptions=True))[0] for picture in pictures]
    return alone, await asyncio.gather(*(runner.detect(picture) for picture in pictures), return_exceptions=True)


@given(cascades(), st.integers(1, 7))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bulk_alone_and_at_once_give_the_same_verdicts_bit_for_bit(
    drawn: tuple[list[ScriptedLevel], float, Policy], batch: int
) -> None:
    levels, threshold, policy = drawn
    resolved, models = scripted_cascade(levels, threshold=threshold, policy=policy)
    loaded = LoadedCascade(resolved, {}, models=models)
    pictures = [numbered(number) for number in range(PICTURES)]
    bulk, runner = (
        BulkRunner(loaded, batch=batch),
        Runner(loaded, options=RunnerOptions(default=ModelOptions(max_batch=batch))),
    )
    try:
        expected = [essence(result) for result in bulk.judge(pictures)]
        alone, crowd = asyncio.run(one_by_one_and_at_once(runner, pictures))
    finally:
        runner.close()
        bulk.close()
    assert [essence(result) for result in alone] == expected
    assert [essence(result) for result in crowd] == expected


def test_the_shipped_cascade_judges_alike_in_bulk_and_alone(embedded: Cascade, scenes: list[bytes]) -> None:
    loaded = embedded._loaded
    pictures = [decode(scene, short_side=loaded.short_side) for scene in scenes]
    bulk = BulkRunner(loaded, batch=16)
    expected = [essence(result) for result in bulk.judge(pictures)]
    bulk.close()
    assert [essence(embedded.detect(picture)) for picture in pictures] == expected
    assert [essence(embedded.detect(scene)) for scene in scenes] == expected


def test_batches_are_never_larger_than_said() -> None:
    model = ScriptedModel("m", 0.7)
    resolved, models = scripted_cascade([model])
    bulk = BulkRunner(LoadedCascade(resolved, {}, models=models), batch=4)
    verdicts = bulk.judge([numbered(n % 6) for n in range(10)])
    bulk.close()
    assert (max(model.batches) <= 4, model.pictures) == (True, 10)
    assert [v.id for v in verdicts if isinstance(v, Verdict)] == [f"p{n % 6}" for n in range(10)]


def test_late_levels_are_asked_about_open_pictures_only() -> None:
    cheap, dear = scripted("cheap", [0.99, 0.5, 0.01, 0.6, 0.97, 0.4]), ScriptedModel("dear", 0.9)
    resolved, models = scripted_cascade([cheap, dear])
    bulk = BulkRunner(LoadedCascade(resolved, {}, models=models))
    bulk.judge([numbered(n) for n in range(6)])
    bulk.close()
    assert (cheap.pictures, dear.pictures) == (6, 3)


def test_one_answer_to_many_pictures_is_not_spread_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natix_cascade.run.bulk.cores", lambda: 1)  # else many cores would share out the pictures

    class Short(ScriptedModel):
        def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
            return Answers(super().predict(batch, explain=explain).scores[:1])

    model = Short("m", lambda pixels: float(pixels[0, 0, 0]) / 10)
    resolved, models = scripted_cascade([model])
    bulk = BulkRunner(LoadedCascade(resolved, {}, models=models))
    scores, _ = bulk.score([numbered(n) for n in range(6)])
    bulk.close()
    assert scores[:, 0].tolist() == [n / 10 for n in range(6)]


@pytest.mark.parametrize("fault", ["error", "nan", "short", "long", RuntimeError()])
def test_who_fails_at_everything_is_an_error_for_each_picture(fault: Any) -> None:
    resolved, models = scripted_cascade([ScriptedModel("m", fault=fault)])
    bulk = BulkRunner(LoadedCascade(resolved, {}, models=models))
    results = bulk.judge([numbered(n) for n in range(3)])
    bulk.close()
    assert [type(result) for result in results] == [ModelError] * 3
    assert "p1: no model answered (m: " in str(results[1])


def test_a_model_that_cannot_be_loaded_drops_out_in_bulk_too() -> None:
    good = ScriptedModel("good", 0.8)
    resolved, _ = scripted_cascade([(good, ScriptedModel("lost", 0.1))])
    bulk = BulkRunner(LoadedCascade(resolved, {}, models={"good": good}))
    (verdict,) = bulk.judge([numbered(1)])
    bulk.close()
    assert isinstance(verdict, Verdict)
    assert verdict.degraded
    assert [o.model for o in verdict.opinions if o.failure] == ["lost"]


def test_scores_of_all_models_whatever_the_exits_say() -> None:
    a, b = scripted("a", [0.99, None, 0.2]), scripted("b", [0.1, 0.2, float("nan")])
    resolved, models = scripted_cascade([a, b])
    bulk = BulkRunner(LoadedCascade(resolved, {}, models=models))
    scores, milliseconds = bulk.score([numbered(n) for n in range(3)])
    bulk.close()
    np.testing.assert_array_equal(scores, [[0.99, 0.1], [np.nan, 0.2], [0.2, np.nan]])
    assert (milliseconds > 0).all()


def test_nothing_to_judge_and_time_spent() -> None:
    model = ScriptedModel("m", 0.7)
    resolved, models = scripted_cascade([model])
    bulk = BulkRunner(LoadedCascade(resolved, {}, models=models))
    assert bulk.judge([]) == []
    assert model.calls == 0
    bulk.judge([numbered(1), numbered(2)])
    bulk.close()
    assert bulk.spent.pictures == 2
    assert set(bulk.spent.by_model) == {"m"}
    assert bulk.spent.by_model["m"] > 0
    assert bulk.spent.overhead > 0
