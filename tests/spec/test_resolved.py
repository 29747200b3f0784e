"""What `resolve` refuses, and what it fills in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.errors import SpecError
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec, Question
from natix_cascade.spec.policy import LevelPolicy, Policy
from natix_cascade.spec.resolved import resolve
from natix_cascade.spec.rules import Agreement, Temperature, Threshold, Window
from natix_cascade.testing import make_card

CARDS = {name: make_card(name) for name in ("owl", "lark", "wren")}


def level(name: str, *models: str, **more: Any) -> LevelSpec:
    return LevelSpec(name=name, members=tuple(MemberSpec(model=model) for model in models), **more)


BASE = CascadeSpec(name="c", levels=(level("first", "owl"), level("second", "lark", "wren"), level("count")))


def policy(**more: Any) -> Policy:
    return Policy(**{"name": "p", "cascade": "c"} | more)


def test_a_policy_fills_in() -> None:
    made = policy(
        threshold=0.4,
        calibrators={"lark": Temperature(temperature=3.0)},
        levels={"second": LevelPolicy(weights={"wren": 2.0}, exit=Window(half_width=2.0), threshold=0.6)},
        models={"owl": "0" * 64, "stranger": "1" * 64},
    )
    resolved = resolve(BASE, CARDS, made)
    assert resolved.models == ("owl", "lark", "wren")
    assert [member.column for member in resolved.members] == [0, 1, 2]
    assert [member.weight for member in resolved.members] == [1.0, 1.0, 2.0]
    assert resolved.levels[1].members[0].calibrator == Temperature(temperature=3.0)
    assert [each.threshold for each in resolved.levels] == [0.4, 0.6, 0.4]
    assert [each.exit for each in resolved.levels] == [None, Window(half_width=2.0), None]
    assert (resolved.name, resolved.policy) == ("c@1", "p@1")
    assert resolve(BASE, CARDS).policy == "none"


@pytest.mark.parametrize(
    ("cascade", "said"),
    [
        (replace(BASE, levels=()), "has no levels"),
        (replace(BASE, levels=(level("first"),)), "the first level 'first' has no members"),
        (replace(BASE, levels=(level("a", "owl"), level("a", "lark"))), "level names must differ, repeated: a"),
        (replace(BASE, levels=(level("a", "owl"), level("b", "owl"))), "one level only, repeated: owl"),
        (replace(BASE, levels=(level("a", "owl", "owl"),)), "one level only, repeated: owl"),
        (replace(BASE, levels=(level("a", "emu"),)), "no card for model 'emu'; known cards: lark, owl, wren"),
        (replace(BASE, question=Question(id="night", positive="night")), "asks for 'night', but model 'owl' answers"),
        (replace(BASE, question=Question(positive="none")), "scores of model 'owl' speak of 'roadwork'"),
        (replace(BASE, levels=(level("a", "owl", mode="one"),)), "level 'a': mode 'one' needs a band for owl"),
        (
            replace(
                BASE, levels=(LevelSpec(name="a", mode="one", members=(MemberSpec(model="owl", band=(0.5, 0.5)),)),)
            ),
            "the band of owl holds nothing: 0.5 to 0.5",
        ),
    ],
)
def test_cascades_that_do_not_hold_together(cascade: CascadeSpec, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        resolve(cascade, CARDS)
    assert str(caught.value).startswith("cascade 'c'")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (policy(cascade="d"), "is for cascade 'd', not for 'c'"),
        (policy(levels={"third": LevelPolicy()}), "sets levels that 'c' does not have: third"),
        (policy(models={"owl": "1" * 64}), "fitted with other weights of 'owl' .sha256 111111111111"),
        (policy(calibrators={"emu": Temperature()}), "calibrators: emu not there in cascade 'c', which has lark, owl"),
        (policy(levels={"first": LevelPolicy(weights={"lark": 1.0})}), "levels.first.weights: lark not there"),
        (policy(levels={"count": LevelPolicy(weights={"emu": 1.0})}), "levels.count.weights: emu not there"),
    ],
)
def test_policies_for_something_else(made: Policy, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        resolve(BASE, CARDS, made)
    assert str(caught.value).startswith("policy 'p'")


@pytest.mark.parametrize(
    ("rule", "threshold", "said"),
    [
        (Threshold(yes=0.4), 0.5, "says yes from 0.4, below the decision threshold 0.5; set yes to 0.5 or more"),
        (Threshold(no=0.5), 0.5, "says no up to 0.5, where the decision threshold 0.5 says yes; set no below 0.5"),
        (Threshold(yes=0.9, no=0.6), 0.5, "says no up to 0.6"),
        (Threshold(yes=0.3, no=0.3), 0.5, "has yes 0.3 and no 0.3; yes must be above no"),
        (Threshold(yes=0.1, no=0.9), 0.5, "has yes 0.1 and no 0.9; yes must be above no"),
    ],
)
def test_an_exit_may_not_contradict_the_threshold(rule: Threshold, threshold: float, said: str) -> None:
    cascade = replace(BASE, levels=(level("first", "owl", exit=rule),), threshold=threshold)
    with pytest.raises(SpecError, match=f"level 'first': its exit {said}"):
        resolve(cascade, CARDS)
    fitted = policy(threshold=threshold, levels={"first": LevelPolicy(exit=rule)})
    with pytest.raises(SpecError, match=rf"its exit \(policy 'p'\) {said}"):
        resolve(replace(cascade, levels=(level("first", "owl"),)), CARDS, fitted)


def test_a_policy_that_moves_the_threshold_past_the_cascades_exit_is_refused() -> None:
    cascade = replace(BASE, levels=(level("first", "owl", exit=Threshold(yes=0.6)),))
    resolve(cascade, CARDS)
    with pytest.raises(SpecError, match=r"says yes from 0\.6, below the decision threshold 0\.7"):
        resolve(cascade, CARDS, policy(levels={"first": LevelPolicy(threshold=0.7)}))


@given(st.none() | st.floats(0, 1), st.none() | st.floats(0, 1), st.floats(0.01, 0.99))
def test_exits_are_refused_exactly_when_they_contradict(yes: float | None, no: float | None, threshold: float) -> None:
    cascade = replace(BASE, levels=(level("first", "owl", exit=Threshold(yes=yes, no=no)),), threshold=threshold)
    fits = (yes is None or yes >= threshold) and (no is None or no < threshold)
    if fits:
        assert resolve(cascade, CARDS).levels[0].exit == Threshold(yes=yes, no=no)
    else:
        with pytest.raises(SpecError, match="its exit"):
            resolve(cascade, CARDS)


@pytest.mark.parametrize("rule", [None, Threshold(), Agreement(), Window()])
def test_other_exits_need_no_threshold(rule: Any) -> None:
    assert resolve(replace(BASE, levels=(level("first", "owl", exit=rule),)), CARDS).levels[0].exit == rule
