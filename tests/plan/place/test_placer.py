"""Placements: the solver agrees with trying everything, the adder with the solver, and more is never worse."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ortools", reason="placing models needs OR-tools (extra: place)")

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
sys.path.insert(0, str(Path(__file__).parents[1]))
from made_cards import LEAN, SIGNS, cascade_of, inside, machine_of, server
from made_records import yes_no

from natix_cascade.errors import PlanError
from natix_cascade.plan.place import Machine, Placement, Wish, check, place, read_machine
from natix_cascade.plan.place.allowances import GIB
from natix_cascade.plan.place.memory import MB
from natix_cascade.plan.place.options import SCALE, Option, options_of
from natix_cascade.plan.place.units import units_of
from natix_cascade.plan.place.values import votes_worth
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.cascade import MemberSpec
from natix_cascade.spec.library import load_cascade
from natix_cascade.spec.resolved import ResolvedCascade

SMALL = Wish(concurrency=2, batched_tokens=256, batch=1, seconds=10)

slow_draws = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def card_lists(draw: st.DrawFn, most: int = 5) -> list[ModelCard]:
    cards = []
    for number in range(draw(st.integers(1, most))):
        size = draw(st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0]))
        if draw(st.booleans()):
            heads = draw(st.sampled_from([4, 6, 8]))
            cards.append(server(f"vlm-{number}", {"bf16": size, "int4": size / 3}, heads=heads, kv_heads=2))
        else:
            cards.append(inside(f"net-{number}", size / 4))
    return cards


gpu_sizes = st.lists(st.sampled_from([1.0, 2.0, 4.0, 6.0]), min_size=0, max_size=3)


def weighted(cards: Sequence[ModelCard], weights: Sequence[float]) -> ResolvedCascade:
    pairs = zip(cards, itertools.cycle(weights), strict=False)
    return cascade_of(cards, [[MemberSpec(model=card.name, weight=w, required=False) for card, w in pairs]])


def brute_force(cascade: ResolvedCascade, machine: Machine, wish: Wish) -> int:
    """The most value of all placements, by trying every one."""
    worth = votes_worth(cascade)
    units = units_of(cascade)
    rows: list[list[Option | None]] = [[None, *options_of(unit, machine, wish, worth)] for unit in units]
    best = 0
    for chosen in itertools.product(*rows):
        value = sum(option.value for option in chosen if option)
        if value > best and _fits(machine, chosen, [unit.served for unit in units]):
            best = value
    return best


def _fits(machine: Machine, chosen: Sequence[Option | None], served: Sequence[bool]) -> bool:
    up = lambda count: -(-count // MB)  # noqa: E731 - MB, as the solver counts
    for index, gpu in enumerate(machine.gpus):
        here = [(o, s) for o, s in zip(chosen, served, strict=True) if o and index in o.gpus]
        total = sum(up(o.parts.held if o.asleep else o.parts.total) for o, _ in here)
        total += max((up(o.parts.total) - up(o.parts.held) for o, _ in here if o.asleep), default=0)
        if any(not s for _, s in here):
            total += up(round(machine.allowances.context_gib * GIB))
        if total > int(gpu.memory * (1 - machine.allowances.fragmentation)) // MB:
            return False
    host = sum(up(o.host) for o in chosen if o)
    return host <= int(machine.host * (1 - machine.allowances.host_kept)) // MB


@slow_draws
@given(
    card_lists(most=3),
    st.lists(st.sampled_from([1.0, 2.0]), max_size=2),
    st.lists(st.sampled_from([0.5, 1, 1.3]), min_size=3, max_size=3),
    st.sampled_from([0.5, 4.0]),
)
def test_the_solver_is_as_good_as_trying_everything(
    cards: list[ModelCard], sizes: list[float], weights: list[float], host: float
) -> None:
    cascade, machine = weighted(cards, weights), machine_of(*sizes, host=host)
    made = place(cascade, machine, SMALL)
    assert made.status == "optimal"
    assert round(made.value * SCALE) == brute_force(cascade, machine, SMALL)
    assert made.bound == made.value
    assert made.gap == 0


@slow_draws
@given(cards=card_lists(), sizes=gpu_sizes, host=st.sampled_from([0.2, 2.0, 64.0]), sleep=st.booleans())
def test_every_placement_adds_up_and_holds_everybody_once(
    cards: list[ModelCard], sizes: list[float], host: float, *, sleep: bool
) -> None:
    cascade, machine = cascade_of(cards), machine_of(*sizes, host=host)
    made = place(cascade, machine, replace(SMALL, sleep=sleep))
    check(made, cascade)  # place has done it too
    names = [name for item in (*made.placed, *made.left_out) for name in item.members]
    assert sorted(names) == sorted(cascade.models)
    assert sleep or not any(item.asleep for item in made.placed)
    for gpu in made.gpus:
        assert gpu.placed + gpu.room + gpu.process + gpu.fragmentation + gpu.free == gpu.memory
        assert gpu.free >= 0
        fractions = [item.memory_fraction for item in made.on(gpu.index) if not item.asleep]
        assert sum(fraction or 0 for fraction in fractions) <= 1


@slow_draws
@given(card_lists(), gpu_sizes, st.sampled_from([0.5, 8.0]), st.floats(0.01, 8.0), st.floats(0.0, 64.0))
def test_more_memory_is_never_worse(
    cards: list[ModelCard], sizes: list[float], host: float, more: float, more_host: float
) -> None:
    cascade = cascade_of(cards)
    before = place(cascade, machine_of(*sizes, host=host), SMALL)
    grown = place(cascade, machine_of(*(size + more for size in sizes), host=host + more_host), SMALL)
    assert grown.value >= before.value


@slow_draws
@given(card_lists(), gpu_sizes.filter(bool))
def test_what_a_left_out_model_needs_lets_it_in(cards: list[ModelCard], sizes: list[float]) -> None:
    """With the memory that it asks for, something is worth more: itself, all others as they were."""
    cascade, machine = cascade_of(cards), machine_of(*sizes, host=1.0)
    made = place(cascade, machine, SMALL)
    for out in made.left_out:
        need = out.need
        assert need is not None
        assert need.gpu_bytes or need.host_bytes
        # all of the machine's equal GPUs grow, so that they stay equal; a few MB more, since the solver rounds up
        kinds = {machine.gpus[index] for index in need.gpus}
        gpus = tuple(
            replace(gpu, memory=gpu.memory + need.gpu_bytes + 20 * MB) if gpu in kinds else gpu for gpu in machine.gpus
        )
        larger = replace(machine, gpus=gpus, host=machine.host + need.host_bytes + 20 * MB)
        assert place(cascade, larger, SMALL).value > made.value


@slow_draws
@given(card_lists(), gpu_sizes)
def test_equal_wishes_get_equal_answers(cards: list[ModelCard], sizes: list[float]) -> None:
    cascade, machine = cascade_of(cards), machine_of(*sizes)
    assert place(cascade, machine, SMALL).as_dict() == place(cascade, machine, SMALL).as_dict()


def test_roles_and_adapters_share_weights() -> None:
    cards = [
        server("base", {"bf16": 2.0}, identifier="o/base", adapter=True),
        server("other", {"bf16": 2.0}, identifier="o/base", adapter=True),
        inside("net", 0.5, roles={"signs": SIGNS}),
    ]
    levels = [[MemberSpec(model=name) for name in ("base", "other", "net", "net:signs")]]
    made = place(cascade_of(cards, levels), machine_of(6.0), SMALL)
    assert {item.model: item.members for item in made.placed} == {
        "base": ("base", "other"),
        "net": ("net", "net:signs"),
    }
    base = next(item for item in made.placed if item.model == "base")
    assert base.parts.adapters == 2 * LEAN.adapter * 2e9
    assert made.value == pytest.approx(4.0)


def test_one_model_too_large_for_one_gpu_is_held_by_two() -> None:
    made = place(cascade_of([server("big", {"bf16": 3.0})]), machine_of(2.5, 2.5), replace(SMALL, sleep=False))
    assert made.placed[0].gpus == (0, 1)
    assert made.placed[0].memory_fraction == pytest.approx(made.placed[0].parts.total / 2.5e9, abs=1e-6)
    unequal = place(cascade_of([server("big", {"bf16": 3.0})]), machine_of(2.5, 2.4), replace(SMALL, sleep=False))
    assert not unequal.placed


def test_gpus_must_divide_the_heads() -> None:
    odd = server("odd", {"bf16": 3.0}, heads=9, kv_heads=9)
    assert not place(cascade_of([odd]), machine_of(2.5, 2.5), SMALL).placed
    assert place(cascade_of([odd]), machine_of(2.5, 2.5, 2.5), SMALL).placed[0].gpus == (0, 1, 2)


def test_sleepers_share_the_room_to_wake_and_are_bound_by_the_ram() -> None:
    cards = [server(name, {"bf16": 2.0}) for name in "abc"]
    one = place(cascade_of(cards), machine_of(3.0, host=64.0), SMALL)
    assert [item.asleep for item in one.placed] == [True, True, True]
    assert one.gpus[0].room == one.placed[0].parts.total - one.placed[0].parts.held
    poor = place(cascade_of(cards), machine_of(3.0, host=4.8), SMALL)
    assert len(poor.placed) == 2
    assert poor.left_out[0].need is not None
    assert poor.left_out[0].need.host_bytes > 0 or poor.left_out[0].need.gpu_bytes > 0


def test_required_models_come_first() -> None:
    cards = [server("dear", {"bf16": 2.0}), server("needed", {"bf16": 2.0})]
    members = [MemberSpec(model="dear", weight=9, required=False), MemberSpec(model="needed", weight=1)]
    made = place(cascade_of(cards, [members]), machine_of(3.0), replace(SMALL, sleep=False))
    assert [item.model for item in made.placed] == ["needed"]
    assert made.required == (1, 1)


def test_on_a_machine_without_gpus_servers_stay_out() -> None:
    made = place(cascade_of([server("vlm", {"bf16": 2.0}), inside("net")]), machine_of(), SMALL)
    assert [(item.model, item.gpus) for item in made.placed] == [("net", ())]
    assert made.left_out[0].need is not None
    assert made.left_out[0].need.text.startswith("a GPU with ")


def test_throughput_balances_and_keeps_the_value() -> None:
    cards = [inside(name, 0.3) for name in "abcd"]
    cascade = cascade_of(cards)
    wish = replace(SMALL, objective="throughput", rates={"a": 100.0, "b": 100.0, "c": 50.0, "d": 100.0})
    made = place(cascade, machine_of(4.0, 4.0), wish)
    assert made.value == 4.0
    assert made.pictures_per_second == pytest.approx(1 / 0.03, rel=1e-6)  # 10 + 20 ms, and 10 + 10
    half = place(cascade, machine_of(4.0, 4.0), replace(wish, keep=0.75))
    assert half.value == 3.0
    assert half.pictures_per_second == pytest.approx(1 / 0.02, rel=1e-6)
    seldom = place(cascade, machine_of(4.0, 4.0), replace(wish, shares={"level-0": 0.1}))
    assert seldom.pictures_per_second == pytest.approx(10 / 0.03, rel=1e-6)


def test_throughput_without_rates_or_with_a_strange_level_says_so() -> None:
    cascade = cascade_of([inside("a"), inside("b")])
    with pytest.raises(PlanError, match="there are none of b"):
        place(cascade, machine_of(4.0), replace(SMALL, objective="throughput", rates={"a": 1.0}))
    wish = replace(SMALL, objective="throughput", rates={"a": 1.0, "b": 1.0}, shares={"x": 0.5})
    with pytest.raises(PlanError, match="no level x"):
        place(cascade, machine_of(4.0), wish)


def test_records_say_what_models_are_worth() -> None:
    """The small model is measured to be better than its weight says; with room for one, it is the one."""
    records = yes_no(4000, 1)
    cards = [inside(name, 0.5) for name in ("gate", "small", "large")]
    members = [
        MemberSpec(model=n, weight=w, required=False) for n, w in (("gate", 3.0), ("small", 1.0), ("large", 2.0))
    ]
    cascade = cascade_of(cards, [members])
    room_for_one = machine_of(0.75)
    prior = place(cascade, room_for_one, SMALL)
    assert [item.model for item in prior.placed] == ["gate"]
    assert prior.accuracy is None
    measured = place(cascade, room_for_one, SMALL, records=records)
    assert [item.model for item in measured.placed] == ["large"]
    right = (records.score[:, 2] >= 0.5) == (records.label == 1)
    assert measured.accuracy == pytest.approx(float(np.average(right, weights=records.weight)))
    assert measured.value == pytest.approx(np.log(right.mean() / (1 - right.mean())), abs=0.01)
    with pytest.raises(PlanError, match="nothing of other"):
        place(cascade_of([*cards, inside("other")]), room_for_one, SMALL, records=records)


@pytest.mark.parametrize("machine", ["1xH100-80GB", "2xH100-80GB", "8xH100-80GB", "1xRTX4060-8GB", "cpu"])
def test_26_models_are_placed_within_the_limit(machine: str) -> None:
    """The limit is the solver's own; how long it takes is measured by bench/placement.py."""
    cascade, _ = load_cascade("dual-h100")
    made = place(cascade, read_machine(machine), Wish(seconds=20))
    check(made, cascade)
    assert made.status in {"optimal", "feasible"}
    assert made.gap < 0.001
    assert len(made.placed) + len(made.left_out) == 26
    if machine == "2xH100-80GB":
        assert [out.model for out in made.left_out] == ["llama-4-maverick"]
        assert made.required == (18, 18)
        assert any(item.asleep for item in made.placed)
    if machine == "8xH100-80GB":
        assert not made.left_out


@pytest.fixture(scope="module")
def made() -> tuple[Placement, ResolvedCascade]:
    cards = [server("a", {"bf16": 2.0, "int4": 0.7}), server("b", {"bf16": 2.0}), inside("net", 0.5)]
    cascade = cascade_of(cards)
    return place(cascade, machine_of(4.0, 4.0, host=8.0), SMALL), cascade


def test_the_adder_finds_what_was_changed(made: tuple[Placement, ResolvedCascade]) -> None:
    placement, cascade = made
    check(placement, cascade)
    a, b, net = placement.placed
    smaller = replace(placement.machine, gpus=tuple(replace(gpu, memory=2 * 10**9) for gpu in placement.machine.gpus))
    changes = {
        "there twice": replace(placement, placed=(a, b, net, net)),
        "missing": replace(placement, placed=(a, b)),
        "fraction": replace(placement, placed=(replace(a, memory_fraction=(a.memory_fraction or 0) / 2), b, net)),
        "no weights at fp8": replace(placement, placed=(replace(a, precision="fp8"), b, net)),
        "the machine has 2": replace(placement, placed=(replace(a, gpus=(7,)), b, net)),
        "is no server": replace(placement, placed=(a, b, replace(net, asleep=True))),
        "too large for the CPU": replace(placement, placed=(a, b, replace(net, gpus=()))),
        "says ": replace(placement, placed=(a, b, replace(net, parts=replace(net.parts, weights=1)))),
        "would hold|a fraction of": replace(placement, machine=smaller),
        "host": replace(placement, host=10**9),
        "do not share weights": replace(placement, placed=(replace(a, members=("a", "b")), net)),
        "does not end at its memory|says": replace(placement, gpus=tuple(replace(g, free=1) for g in placement.gpus)),
        "which was not wished": replace(placement, wish=replace(placement.wish, precisions=("fp8",))),
    }
    for says, changed in changes.items():
        with pytest.raises(PlanError, match=says):
            check(changed, cascade)


def test_the_adder_finds_a_gpu_that_is_too_full(made: tuple[Placement, ResolvedCascade]) -> None:
    """Everything on one GPU, each with honest figures, is too much."""
    placement, cascade = made
    crowded = tuple(replace(item, gpus=(0,)) for item in placement.placed)
    with pytest.raises(PlanError, match=r"GPU 0 .* would hold"):
        check(replace(placement, placed=crowded), cascade)


def test_a_lower_precision_that_would_fit_is_named() -> None:
    only = place(cascade_of([server("a", {"bf16": 2.0})]), machine_of(1.6, host=0.1), SMALL)
    need = only.left_out[0].need
    assert need is not None
    assert (need.precision, need.lower) == ("bf16", "fp8")
    assert "estimated: the card has none" in need.text
    unwished = place(
        cascade_of([server("a", {"bf16": 2.0, "int4": 0.6})]),
        machine_of(1.0, host=0.1),
        replace(SMALL, precisions=("bf16",)),
    )
    assert unwished.left_out[0].need is not None
    assert unwished.left_out[0].need.lower == "int4"
