from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError, DeadlineError, ModelError
from natix_cascade.image import Picture
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import ModelOptions, RunnerOptions
from natix_cascade.run.runner import Runner
from natix_cascade.spec.rules import Agreement, Threshold, VoteSpec
from natix_cascade.testing import ScriptedLevel, ScriptedModel, scripted_cascade

LONG = 20.0  # seconds that only catch a hang

CascadeOf = Callable[..., Cascade]
Grey = Callable[[int], Picture]


def runner_of(levels: Any, **options: Any) -> Runner:
    resolved, models = scripted_cascade(levels)
    chosen = RunnerOptions(default=ModelOptions(**options))
    return Runner(LoadedCascade(resolved, {}, models=models), options=chosen)


def until_asked(model: ScriptedModel) -> None:
    limit = time.monotonic() + LONG
    while not model.calls and time.monotonic() < limit:
        time.sleep(0.001)


def test_an_early_exit_neither_loads_nor_asks_later_models(grey: Grey) -> None:
    cheap = ScriptedModel("cheap", 0.97)
    resolved, _ = scripted_cascade([cheap, ScriptedModel("dear", 0.5)])
    loaded = LoadedCascade(resolved, {}, models={"cheap": cheap})  # loading "dear" would fail: it has no weights
    with Cascade(loaded) as cascade:
        verdict = cascade.detect(grey(1))
    assert (verdict.exit_level, verdict.levels_executed) == ("level-1", ("level-1",))
    assert [o.model for o in verdict.opinions] == ["cheap"]
    assert (verdict.detected, verdict.degraded) == (True, False)


def test_only_open_pictures_go_on(cascade_of: CascadeOf, grey: Grey) -> None:
    cheap = ScriptedModel("cheap", lambda pixels: float(pixels[0, 0, 0]) / 100)
    dear = ScriptedModel("dear", 0.95)
    cascade = cascade_of([cheap, dear])
    verdicts = [cascade.detect(grey(value)) for value in (2, 40, 60, 98)]
    assert [v.exit_level for v in verdicts] == ["level-1", "level-2", "level-2", "level-1"]
    assert (cheap.calls, dear.calls) == (4, 2)
    assert [v.detected for v in verdicts] == [False, True, True, True]


def test_mode_one_asks_the_member_whose_band_it_is(cascade_of: CascadeOf, grey: Grey) -> None:
    cheap = ScriptedModel("cheap", lambda pixels: float(pixels[0, 0, 0]) / 100)
    low, high = ScriptedModel("low", 0.05), ScriptedModel("high", 0.99)
    level = ScriptedLevel(models=(low, high), mode="one", bands={"low": (0.0, 0.5), "high": (0.5, 1.0)})
    cascade = cascade_of([cheap, level])
    assert [o.model for o in cascade.detect(grey(30)).opinions] == ["cheap", "low"]
    assert [o.model for o in cascade.detect(grey(70)).opinions] == ["cheap", "high"]
    assert (low.calls, high.calls) == (1, 1)


def test_until_agreement_stops_when_two_agree(cascade_of: CascadeOf, grey: Grey) -> None:
    models = tuple(ScriptedModel(name, p) for name, p in (("a", 0.8), ("b", 0.3), ("c", 0.9), ("d", 0.9)))
    level = ScriptedLevel(models=models, mode="until-agreement", exit=Agreement(members=2, ratio=0.6))
    verdict = cascade_of([level]).detect(grey(1))
    assert [o.model for o in verdict.opinions] == ["a", "b", "c"]
    assert [m.calls for m in models] == [1, 1, 1, 0]
    assert verdict.levels_executed == ("level-1",)


def test_members_of_a_level_work_at_the_same_time(cascade_of: CascadeOf, grey: Grey) -> None:
    release = (first := ScriptedModel("first", 0.9, fault="hang")).release

    def lets_go(_: Any) -> float:
        release.set()  # only if it is asked while the first still works
        return 0.9

    verdict = cascade_of([(first, ScriptedModel("second", lets_go))]).detect(grey(1), deadline_ms=LONG * 1000)
    assert not verdict.degraded


def test_a_deadline_gives_the_verdict_of_the_earlier_levels(cascade_of: CascadeOf, grey: Grey) -> None:
    stuck = ScriptedModel("stuck", fault="hang")
    cascade = cascade_of([ScriptedModel("cheap", 0.7), stuck, ScriptedModel("never", 0.1)])
    began = time.perf_counter()
    verdict = cascade.detect(grey(1), deadline_ms=800)
    assert time.perf_counter() - began < LONG
    assert (verdict.detected, verdict.degraded, verdict.exit_level) == (True, True, "level-2")
    assert verdict.probability == pytest.approx(0.7)
    assert [o.failure is None for o in verdict.opinions] == [True, False]
    assert re.search(r"no answer within \d+ ms", verdict.opinions[1].failure or "")
    assert any("deadline passed" in reason for reason in verdict.reasons)
    assert any(reason == "not reached: level-3" for reason in verdict.reasons)


def test_a_deadline_at_the_last_level_is_named_too_even_when_the_member_is_optional(
    cascade_of: CascadeOf, grey: Grey
) -> None:
    stuck = ScriptedModel("stuck", fault="hang")
    last = ScriptedLevel(models=(stuck,), optional=frozenset({"stuck"}))
    verdict = cascade_of([ScriptedModel("cheap", 0.7), last], deadline_ms=800).detect(grey(1))
    assert (verdict.detected, verdict.degraded) == (True, True)
    assert sum("deadline passed" in reason for reason in verdict.reasons) == 1


def test_a_deadline_before_any_answer_is_an_error(cascade_of: CascadeOf, grey: Grey) -> None:
    cascade = cascade_of([ScriptedModel("stuck", fault="hang"), ScriptedModel("never", 0.1)])
    with pytest.raises(DeadlineError, match=r"grey-1.*before any model"):
        cascade.detect(grey(1), deadline_ms=100)


@pytest.mark.parametrize("deadline_ms", [0.0, -5.0, 1e-6])
def test_no_time_at_all_asks_nobody(cascade_of: CascadeOf, grey: Grey, deadline_ms: float) -> None:
    model = ScriptedModel("m", 0.9)
    with pytest.raises(DeadlineError):
        cascade_of([model]).detect(grey(1), deadline_ms=deadline_ms)
    assert model.calls == 0


def test_the_deadline_holds_while_a_picture_is_decoded(cascade_of: CascadeOf, scenes: list[bytes]) -> None:
    model = ScriptedModel("m", 0.9)
    with pytest.raises(DeadlineError, match="decoded"):
        cascade_of([model]).detect(scenes[0], deadline_ms=0.0)
    assert model.calls == 0


def test_a_late_answer_of_a_stuck_model_disturbs_nobody(cascade_of: CascadeOf, grey: Grey) -> None:
    stuck = ScriptedModel("stuck", [0.2, 0.95], fault="hang")
    cascade = cascade_of([stuck])
    with pytest.raises(DeadlineError):
        cascade.detect(grey(1), deadline_ms=100)
    stuck.release.set()
    verdict = cascade.detect(grey(2), deadline_ms=LONG * 1000)
    assert verdict.opinions[0].score == 0.95


def test_a_level_has_its_own_budget(cascade_of: CascadeOf, grey: Grey) -> None:
    stuck = ScriptedModel("stuck", fault="hang")
    slow = ScriptedLevel(models=(stuck,), budget_ms=80, exit=Threshold(yes=0.9, no=0.1))
    verdict = cascade_of([ScriptedModel("cheap", 0.7), slow, ScriptedModel("dear", 0.2)]).detect(grey(1))
    assert verdict.levels_executed == ("level-1", "level-2", "level-3")
    assert verdict.degraded
    assert not any("deadline" in reason for reason in verdict.reasons)
    assert [o.model for o in verdict.opinions if o.failure] == ["stuck"]


def test_a_budget_counts_for_all_rounds_of_a_level(cascade_of: CascadeOf, grey: Grey) -> None:
    models = (ScriptedModel("a", 0.8), ScriptedModel("b", fault="hang"), ScriptedModel("c", fault="hang"))
    level = ScriptedLevel(models=models, mode="until-agreement", exit=Agreement(members=2), budget_ms=500)
    began = time.perf_counter()
    verdict = cascade_of([level]).detect(grey(1))
    assert time.perf_counter() - began < LONG
    assert [o.failure is None for o in verdict.opinions] == [True, False, False]
    assert verdict.detected


def test_a_failed_member_drops_out_and_the_rest_renormalise(cascade_of: CascadeOf, grey: Grey) -> None:
    def members(*, broken: bool) -> ScriptedLevel:
        models = [ScriptedModel("a", 0.8), ScriptedModel("b", 0.35)]
        if broken:
            models.insert(1, ScriptedModel("broken", 0.01, fault="error"))
        return ScriptedLevel(models=tuple(models), weights={"a": 2.0, "broken": 5.0})

    hurt, whole = (cascade_of([members(broken=broken)]).detect(grey(1)) for broken in (True, False))
    assert hurt.probability == whole.probability
    assert hurt.consensus_ratio == whole.consensus_ratio
    assert (hurt.degraded, whole.degraded) == (True, False)
    assert any(
        reason == "broken did not answer and dropped out of the vote: model 'broken' failed, as its script says"
        for reason in hurt.reasons
    )


def test_a_failed_optional_member_does_not_degrade(cascade_of: CascadeOf, grey: Grey) -> None:
    models = (ScriptedModel("a", 0.8), ScriptedModel("b", fault="error"))
    verdict = cascade_of([ScriptedLevel(models=models, optional=frozenset({"b"}))]).detect(grey(1))
    assert not verdict.degraded
    assert any(reason.startswith("b did not answer") for reason in verdict.reasons)


@pytest.mark.parametrize("fault", ["error", "nan", "short", "long", RuntimeError("boom"), KeyError()])
def test_any_fault_is_a_failure_of_its_member_alone(cascade_of: CascadeOf, grey: Grey, fault: Any) -> None:
    models = ScriptedModel("good", 0.8), ScriptedModel("bad", 0.8, fault=fault)
    verdict = cascade_of([models]).detect(grey(1))
    good, bad = verdict.opinions
    assert (good.score, good.failure) == (0.8, None)
    assert (bad.score, bad.probability) == (None, None)
    assert bad.failure
    assert verdict.degraded
    assert verdict.probability == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("on_failure", "exit_level", "asked"),
    [("drop", "level-1", 2), ("escalate", "level-2", 3), ("abort", "level-1", 2)],
)
def test_what_a_failure_does_to_a_level(
    cascade_of: CascadeOf, grey: Grey, on_failure: Any, exit_level: str, asked: int
) -> None:
    first = ScriptedLevel(
        models=(ScriptedModel("good", 0.95), ScriptedModel("bad", fault="error")),
        exit=Threshold(yes=0.9, no=0.1),
        on_failure=on_failure,
    )
    verdict = cascade_of([first, ScriptedModel("next", 0.2)]).detect(grey(1))
    assert (verdict.exit_level, len(verdict.opinions), verdict.degraded) == (exit_level, asked, True)


def test_abort_ends_with_the_best_answer_so_far(cascade_of: CascadeOf, grey: Grey) -> None:
    second = ScriptedLevel(models=(ScriptedModel("bad", fault="error"),), on_failure="abort")
    verdict = cascade_of([ScriptedModel("cheap", 0.7), second, ScriptedModel("next", 0.01)]).detect(grey(1))
    assert (verdict.detected, verdict.exit_level, verdict.degraded) == (True, "level-2", True)
    assert verdict.probability == pytest.approx(0.7)
    assert "not reached: level-3" in verdict.reasons


def test_when_all_fail_the_error_names_them(cascade_of: CascadeOf, grey: Grey) -> None:
    cascade = cascade_of([ScriptedModel("a", fault="error"), ScriptedModel("b", fault="nan")])
    with pytest.raises(ModelError, match=r"grey-1: no model answered .*a: .*; b: "):
        cascade.detect(grey(1))


def test_a_model_that_cannot_be_loaded_drops_out(grey: Grey) -> None:
    good = ScriptedModel("good", 0.8)
    resolved, _ = scripted_cascade([(good, ScriptedModel("lost", 0.1))])
    with Cascade(LoadedCascade(resolved, {}, models={"good": good})) as cascade:
        verdict = cascade.detect(grey(1))
    assert verdict.degraded
    assert [o.model for o in verdict.opinions if o.failure] == ["lost"]


def test_a_stuck_model_does_not_hold_up_pictures_that_do_not_need_it(cascade_of: CascadeOf, grey: Grey) -> None:
    cheap = ScriptedModel("cheap", lambda pixels: float(pixels[0, 0, 0]) / 100)
    stuck = ScriptedModel("stuck", 0.95, fault="hang")
    cascade = cascade_of([cheap, stuck])

    async def scene() -> None:
        held = asyncio.ensure_future(cascade.detect_async(grey(50)))
        verdicts = await asyncio.wait_for(asyncio.gather(*(cascade.detect_async(grey(99)) for _ in range(20))), LONG)
        assert all(v.exit_level == "level-1" for v in verdicts)
        assert not held.done()
        stuck.release.set()
        assert (await asyncio.wait_for(held, LONG)).exit_level == "level-2"

    asyncio.run(scene())


def test_pictures_under_way_share_batches(grey: Grey) -> None:
    model = ScriptedModel("m", lambda pixels: float(pixels[0, 0, 0]) / 100, delay_s=0.01)
    runner = runner_of([model], max_batch=8)

    async def scene() -> list[float]:
        verdicts = await asyncio.gather(*(runner.detect(grey(value)) for value in range(50)))
        return [v.opinions[0].score or 0.0 for v in verdicts]

    scores = asyncio.run(scene())
    runner.close()
    assert scores == [value / 100 for value in range(50)]
    assert max(model.batches) <= 8
    assert len(model.batches) < 25


def test_cancelled_pictures_leave_every_batch_and_the_others_are_unharmed(grey: Grey) -> None:
    model = ScriptedModel("m", lambda pixels: float(pixels[0, 0, 0]) / 100, fault="hang")
    runner = runner_of([model], max_batch=4)

    async def scene() -> list[Any]:
        tasks = [asyncio.ensure_future(runner.detect(grey(value))) for value in range(12)]
        await asyncio.to_thread(until_asked, model)
        for task in tasks[4:10]:
            task.cancel()
        await asyncio.sleep(0.05)  # for the news to reach the worker
        model.release.set()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), LONG)

    results = asyncio.run(scene())
    runner.close()
    assert all(isinstance(item, asyncio.CancelledError) for item in results[4:10])
    assert [item.opinions[0].score for item in results[:4] + results[10:]] == [0.0, 0.01, 0.02, 0.03, 0.1, 0.11]
    assert model.pictures == 6  # nobody asked in vain


def test_close_ends_a_picture_under_way_with_its_verdict_or_an_error(grey: Grey) -> None:
    first, second = ScriptedModel("first", 0.5, fault="hang"), ScriptedModel("second", 0.95)
    runner = runner_of([first, second])

    async def scene() -> None:
        task = asyncio.ensure_future(runner.detect(grey(1)))
        await asyncio.to_thread(until_asked, first)
        closing = asyncio.ensure_future(asyncio.to_thread(runner.close))
        await asyncio.sleep(0.02)
        first.release.set()
        await asyncio.wait_for(closing, LONG)
        result = (await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), LONG))[0]
        assert isinstance(result, CascadeError | Verdict)  # as far as it came
        with pytest.raises(CascadeError, match="closed"):
            await runner.detect(b"")

    asyncio.run(scene())


def test_explain_gives_heat_maps_and_the_verdict_has_the_last_one(cascade_of: CascadeOf, grey: Grey) -> None:
    levels = [
        ScriptedModel("a", 0.5, heat_map=np.zeros((2, 2), np.float32)),
        ScriptedModel("b", 0.5, heat_map=np.ones((3, 4), np.float32)),
        ScriptedModel("c", 0.5),
    ]
    cascade = cascade_of(levels)
    verdict = cascade.detect(grey(1), explain=True)
    assert [None if o.heat_map is None else o.heat_map.shape for o in verdict.opinions] == [(2, 2), (3, 4), None]
    assert verdict.heat_map is verdict.opinions[1].heat_map
    plain = cascade.detect(grey(1))
    assert plain.heat_map is None
    assert plain.probability == verdict.probability


def test_a_level_without_members_only_counts(cascade_of: CascadeOf, grey: Grey) -> None:
    model = ScriptedModel("m", 0.7)
    consensus = ScriptedLevel(models=(), name="consensus", vote=VoteSpec(method="majority"))
    verdict = cascade_of([model, consensus]).detect(grey(1))
    assert verdict.exit_level == "consensus"
    assert verdict.levels_executed == ("level-1", "consensus")
    assert verdict.detected


def test_the_name_goes_into_the_verdict_whatever_the_source(
    cascade_of: CascadeOf, grey: Grey, scenes: list[bytes]
) -> None:
    cascade = cascade_of([ScriptedModel("m", 0.7)])
    assert cascade.detect(grey(1)).id == "grey-1"
    assert cascade.detect(grey(1), name="mine").id == "mine"
    assert cascade.detect(scenes[0], name="scene").id == "scene"
    plain = cascade.detect(scenes[0])
    assert plain.id == plain.sha256[:16]


def test_warm_up_asks_every_model_once(cascade_of: CascadeOf) -> None:
    models = [ScriptedModel("a", 0.5), ScriptedModel("b", 0.5)]
    cascade_of(models).warm_up()
    assert [m.calls for m in models] == [1, 1]


def test_warm_up_says_which_model_is_broken(cascade_of: CascadeOf) -> None:
    cascade = cascade_of([ScriptedModel("a", 0.5), ScriptedModel("b", fault="error")])
    with pytest.raises(ModelError, match="'b'"):
        cascade.warm_up()
