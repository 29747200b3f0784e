from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.decide.verdict import Verdict
from natix_cascade.observe.hardest import KINDS, hardest, kind_of


@dataclass(frozen=True)
class Told:
    verdict: Verdict
    truth: bool | None


def verdict(**given: Any) -> Verdict:
    plain: dict[str, Any] = {
        "id": "a.jpg",
        "sha256": "00",
        "question": "roadwork",
        "detected": True,
        "probability": 0.9,
        "confidence": 0.9,
        "consensus_ratio": 1.0,
        "exit_level": "gate",
        "levels_executed": ("gate",),
        "opinions": (),
        "latency_ms": 1.0,
        "cost_usd": 0.0,
        "gmacs": 0.0,
        "degraded": False,
        "reasons": (),
        "cascade": "c@1",
        "policy": "p@1",
    }
    return Verdict(**{**plain, **given})


@st.composite
def subjects(draw: st.DrawFn) -> list[Told]:
    confidences = st.sampled_from((0.5, 0.6, 0.9, 0.99))
    found = []
    for index in range(draw(st.integers(0, 12))):
        sure, detected = draw(confidences), draw(st.booleans())
        made = verdict(
            id=f"v{index}",
            sha256=draw(st.sampled_from("abcdefgh")),
            detected=detected,
            probability=sure if detected else 1 - sure,
            confidence=sure,
            consensus_ratio=draw(st.sampled_from((0.5, 0.7, 1.0))),
            degraded=draw(st.booleans()),
        )
        found.append(Told(made, draw(st.none() | st.booleans())))
    return found


@given(subjects(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_makes_no_difference(told: list[Told], rng: Any) -> None:
    mixed = list(told)
    rng.shuffle(mixed)
    assert hardest(told, 100) == hardest(mixed, 100)


@given(subjects(), st.integers(0, 12))
def test_fewer_are_the_first_of_more(told: list[Told], most: int) -> None:
    assert hardest(told, most) == hardest(told, 100)[:most]


@given(subjects())
def test_kinds_come_in_their_order_and_each_picture_once(told: list[Told]) -> None:
    found = hardest(told, 100)

    places = [KINDS.index(kind_of(each.verdict, each.truth)) for each in found]
    digests = [each.verdict.sha256 for each in found]
    assert places == sorted(places)
    assert sorted(digests) == sorted({each.verdict.sha256 for each in told})


@given(subjects())
def test_of_a_picture_nothing_harder_is_left_out(told: list[Told]) -> None:
    for each in hardest(told, 100):
        alike = [other for other in told if other.verdict.sha256 == each.verdict.sha256]
        kinds = [KINDS.index(kind_of(other.verdict, other.truth)) for other in alike]
        assert KINDS.index(kind_of(each.verdict, each.truth)) == min(kinds)


def test_what_comes_first_within_a_kind() -> None:
    told = {
        "sure mistake": Told(verdict(sha256="a", confidence=0.99), False),
        "unsure mistake": Told(verdict(sha256="b", confidence=0.6, degraded=True), False),
        "degraded, unsure": Told(verdict(sha256="c", confidence=0.55, degraded=True), True),
        "degraded, sure": Told(verdict(sha256="d", confidence=0.9, degraded=True), None),
        "disputed": Told(verdict(sha256="e", consensus_ratio=0.5, confidence=0.99), None),
        "less disputed, unsure": Told(verdict(sha256="f", consensus_ratio=0.8, confidence=0.6), None),
        "less disputed, sure": Told(verdict(sha256="g", consensus_ratio=0.8, confidence=0.7), True),
        "unsure": Told(verdict(sha256="h", confidence=0.51), None),
        "sure": Told(verdict(sha256="i", confidence=0.99), True),
    }

    found = hardest(told.values(), 100)

    names = {id(each): name for name, each in told.items()}
    assert [names[id(each)] for each in found] == list(told)
