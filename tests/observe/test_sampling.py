from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import PictureError
from natix_cascade.observe.sampling import Allowance, Sampler, is_remarkable
from natix_cascade.run.events import Call, PictureFailed, VerdictGiven
from natix_cascade.testing.verdicts import some_verdict
from natix_cascade.trace import TraceContext, drawn, new_id

PLAIN = some_verdict()


def call(name: str, *, sampled: bool = False) -> Call:
    parent = f"00-{'a' * 32}-{'b' * 16}-01" if sampled else None
    return Call(name, 0.0, TraceContext.of_request(name, parent))


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.floats(0, 1), st.floats(0, 1))
def test_who_is_drawn_at_a_share_is_drawn_at_all_larger_ones(name: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert not drawn(name, 0.0)
    assert drawn(name, 1.0)
    assert not drawn(name, small) or drawn(name, large)


def test_so_many_are_drawn_as_were_asked_for() -> None:
    found = sum(drawn(new_id(), 0.2) for _ in range(20_000))
    assert 3_700 < found < 4_300  # five standard deviations around 4000


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (PLAIN, False),
        (replace(PLAIN, degraded=True), True),
        (replace(PLAIN, consensus_ratio=0.8), True),
    ],
)
def test_degraded_and_disputed_are_remarkable(verdict: Verdict, expected: bool) -> None:  # noqa: FBT001
    assert is_remarkable(VerdictGiven(verdict)) is expected
    assert is_remarkable(PictureFailed("x", PictureError("no picture")))


def test_why_something_is_kept() -> None:
    sampler = Sampler(0.5, 100.0, 100.0)
    low, high = "0" * 32, "f" * 32
    odd = VerdictGiven(replace(PLAIN, degraded=True))
    assert sampler(VerdictGiven(PLAIN), call(low)) == "chance"
    assert sampler(VerdictGiven(PLAIN), call(high)) is None
    assert sampler(VerdictGiven(PLAIN), call(high, sampled=True)) == "client"
    assert sampler(odd, call(high)) == "remarkable"
    assert sampler(odd, call(low)) == "chance"  # by chance first: those are a fair sample


def test_a_storm_of_remarkable_ones_is_bounded() -> None:
    now = 0.0
    sampler = Sampler(0.0, 5.0, 5.0, clock=lambda: now)
    odd = VerdictGiven(replace(PLAIN, degraded=True))
    kept = 0
    for tick in range(1000):  # ten seconds, a hundred a second
        now = tick / 100
        kept += sampler(odd, call(new_id())) is not None
    assert 50 <= kept <= 55


def test_under_load_a_smaller_share_is_drawn() -> None:
    now = 0.0
    sampler = Sampler(0.5, 10.0, 5.0, clock=lambda: now)
    kept = 0
    for tick in range(20_000):  # twenty seconds, a thousand a second
        now = tick / 1000
        kept += sampler(VerdictGiven(PLAIN), call(new_id())) == "chance"
    assert sampler.share == pytest.approx(0.01)
    assert 500 + 100 <= kept <= 500 + 290  # nobody knew in the first second; then ten a second
    now += 60
    sampler(VerdictGiven(PLAIN), call(new_id()))
    assert sampler.share == 0.5  # they have become few


def test_all_are_all_however_many() -> None:
    sampler = Sampler(1.0, 1.0, 1.0)
    assert all(sampler(VerdictGiven(PLAIN), call(new_id())) == "chance" for _ in range(1000))


def test_clients_that_want_all_of_theirs_kept_are_bounded_too() -> None:
    now = 0.0
    sampler = Sampler(0.0, 5.0, 5.0, clock=lambda: now)
    kept = 0
    for tick in range(1000):
        now = tick / 100
        kept += sampler(VerdictGiven(PLAIN), call(new_id(), sampled=True)) == "client"
    assert 50 <= kept <= 55


def test_an_allowance_below_one_a_second_saves_up() -> None:
    now = 0.0
    allowance = Allowance(0.5, clock=lambda: now)
    assert allowance.take()
    assert not allowance.take()
    now = 1.9
    assert not allowance.take()
    now = 2.1
    assert allowance.take()
    assert not Allowance(0.0).take()
