"""Promise 12 of the service: every verdict explains itself, whatever fails on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from engine_room import LONG, Moody, engine_room, play
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import DeadlineError, ModelError, SpecError, TransientModelError
from natix_cascade.image import Picture
from natix_cascade.run.events import Event, LevelFinished, LevelStarted, PictureFailed, VerdictGiven
from natix_cascade.run.runner import Runner
from natix_cascade.spec.rules import Agreement, Threshold, Window
from natix_cascade.testing import ScriptedLevel, ScriptedModel

Grey = Callable[[int], Picture]

FAULTS: list[Any] = [
    None, None, None, "error", "nan", "short", "long", ValueError("boom"), KeyError(), StopIteration(),
    TransientModelError("the connection was lost"),
]  # fmt: skip
EXITS = st.sampled_from(
    [None, Threshold(yes=0.9, no=0.1), Threshold(yes=0.7), Agreement(members=2, ratio=0.6), Window(half_width=1.0)]
)
DEADLINE = "the deadline passed: this is the best answer so far"


@dataclass
class Case:
    levels: list[ScriptedLevel]
    max_level: str | None
    slow: int | None  # this level is known to be slow, and there is a deadline
    budget_out: bool  # no retries


@st.composite
def cases(draw: st.DrawFn) -> Case:
    count = draw(st.integers(1, 4))
    levels = []
    for number in range(1, count + 1):
        names = [f"m{number}{letter}" for letter in "abc"[: draw(st.integers(1, 3))]]
        score = st.sampled_from([0.02, 0.3, 0.45, 0.55, 0.8, 0.97])
        models = tuple(ScriptedModel(name, draw(score), fault=draw(st.sampled_from(FAULTS))) for name in names)
        mode = draw(st.sampled_from(["all", "until-agreement", *(["one"] if number > 1 else [])]))
        edges = [index / len(names) for index in range(len(names) + 1)]
        bands = dict(zip(names, pairwise(edges), strict=True)) if mode == "one" else {}
        levels.append(
            ScriptedLevel(
                models=models,
                mode=mode,
                bands=bands,
                exit=draw(EXITS) if number < count else None,
                optional=frozenset(name for name in names if draw(st.booleans())),
                on_failure=draw(st.sampled_from(["drop", "escalate", "abort"])),
            )
        )
    max_level = draw(st.sampled_from([None, None, *(f"level-{number}" for number in range(1, count + 1))]))
    return Case(levels, max_level, draw(st.none() | st.integers(0, count - 1)), draw(st.booleans()))


def explains_itself(case: Case, verdict: Verdict) -> None:
    """What holds for every verdict."""
    names = [f"level-{number}" for number in range(1, len(case.levels) + 1)]
    reasons, executed = verdict.reasons, list(verdict.levels_executed)
    text = "\n".join(reasons)

    assert executed == names[: len(executed)]
    assert verdict.exit_level == executed[-1]
    first = rf"(stopped at )?{verdict.exit_level}( is the last level)?: the vote is P\(roadwork\) = [01]\.\d+, "
    assert re.match(first + "(which its exit rule|yes begins at)", reasons[0])

    left_out = names[len(executed) :]
    skipped = [reason for reason in reasons if re.match("not (needed|reached): ", reason)]
    assert skipped == ([f"{skipped[0][:12].strip()} {', '.join(left_out)}"] if left_out else [])

    answered = {o.model for o in verdict.opinions if o.failure is None}
    assert len({o.model for o in verdict.opinions}) == len(verdict.opinions)
    for opinion in verdict.opinions:
        assert opinion.level in executed
        assert (opinion.score is None) == (opinion.probability is None) == (opinion.failure is not None)
        if opinion.failure is not None:
            assert f"{opinion.model} did not answer and dropped out of the vote: {opinion.failure}" in reasons
    assert answered

    failed = [o.model for o in verdict.opinions if o.failure is not None]
    required = [name for name in failed if not any(name in level.optional for level in case.levels)]
    cut_short = DEADLINE in reasons or " was not started: " in text
    assert verdict.degraded == (bool(required) or cut_short)
    if "was the last level that might be asked" in text:
        assert verdict.exit_level == case.max_level
        assert f"{case.max_level} was the last level that might be asked" in reasons
    if verdict.reasons[0].startswith("stopped at"):
        assert cut_short or required or "might be asked" in text

    assert 0 <= verdict.probability <= 1
    assert verdict.detected == (verdict.probability > 0.5)
    json.dumps(verdict.as_dict(), allow_nan=False)


def the_story_fits(events: list[Event], outcome: Verdict | Exception) -> None:
    """Listeners hear of each level that was begun, and of one end."""
    begun = [each.level for each in events if isinstance(each, LevelStarted)]
    ended = [each for each in events if isinstance(each, LevelFinished)]
    assert [each.level for each in ended] == begun
    if isinstance(outcome, Verdict):
        assert isinstance(events[-1], VerdictGiven)
        assert begun == list(outcome.levels_executed)
        assert [o for each in ended for o in each.opinions] == list(outcome.opinions)
    else:
        assert isinstance(events[-1], PictureFailed)
    assert sum(isinstance(each, VerdictGiven | PictureFailed) for each in events) == 1


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases())
def test_promise_12_every_verdict_explains_itself(grey: Grey, case: Case) -> None:
    events: list[Event] = []
    with engine_room(case.levels, attempts=2, retry_budget=0.0 if case.budget_out else 0.2) as runner:
        deadline_ms = None
        if case.slow is not None:
            deadline_ms = LONG * 1000
            for _ in range(16):
                runner._level_times[case.slow].add(500.0)

        async def scene() -> Verdict | ModelError:
            try:
                return await runner.detect(
                    grey(1), deadline_ms=deadline_ms, max_level=case.max_level, listener=events.append
                )
            except ModelError as error:
                return error

        outcome = play(scene, collect=False)
    the_story_fits(events, outcome)
    if isinstance(outcome, Verdict):
        event("degraded" if outcome.degraded else "whole")
        explains_itself(case, outcome)
    else:
        event("error")
        asked = [each for level in case.levels for each in level.models if each.calls]
        assert re.match(r"grey-1: no model answered \(.+\)", str(outcome))
        assert all(f"{each.card.name}: " in str(outcome) for each in asked)


def test_promise_12_a_deadline_in_the_middle_of_everything(grey: Grey) -> None:
    """Members that hang at every place: the verdict says whom it heard, whom not, and that time ran out."""

    async def one(runner: Runner, case: Case) -> None:
        events: list[Event] = []
        try:
            verdict = await runner.detect(grey(1), deadline_ms=700, listener=events.append)
        except DeadlineError as error:
            the_story_fits(events, error)
            return
        the_story_fits(events, verdict)
        explains_itself(case, verdict)
        assert DEADLINE in verdict.reasons

    modes: list[Any] = ["all", "until-agreement"]
    made = []
    for stuck in range(3):
        for mode in modes:
            for place in range(2):
                levels = []
                for number in range(1, 4):
                    good = ScriptedModel(f"g{number}", 0.7)
                    other = Moody(f"h{number}", "hang" if number - 1 == stuck else 0.6)
                    models = (other, good) if place else (good, other)
                    levels.append(ScriptedLevel(models=models, mode=mode, on_failure="drop"))
                made.append(Case(levels, None, None, budget_out=False))

    async def scene(runners: list[Runner]) -> None:
        await asyncio.gather(*(one(runner, case) for runner, case in zip(runners, made, strict=True)))

    with contextlib.ExitStack() as rooms:
        runners = [rooms.enter_context(engine_room(case.levels)) for case in made]
        play(lambda: scene(runners))


def test_promise_12_what_was_wanted_so_does_not_degrade(grey: Grey) -> None:
    last = ScriptedModel("last", 0.2)
    with engine_room([ScriptedModel("a", 0.7), ScriptedModel("b", 0.6), last]) as runner:
        verdict = play(lambda: runner.detect(grey(1), max_level="level-2"))
        assert not verdict.degraded
        assert verdict.reasons[1:] == ("not reached: level-3", "level-2 was the last level that might be asked")
        early = play(lambda: runner.detect(grey(1), max_level="level-3"))
        assert not any("might be asked" in reason for reason in early.reasons)
        with pytest.raises(SpecError, match=r"no level 'x'.* its levels are level-1, level-2, level-3"):
            play(lambda: runner.detect(grey(1), max_level="x"))
    assert last.calls == 1
