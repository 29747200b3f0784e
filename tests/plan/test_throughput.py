"""Throughput in closed form, and the questions backwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.errors import PlanError, SpecError
from natix_cascade.plan.rates import Rate, Rates, rate_of, read_rates
from natix_cascade.plan.stages import Stage, Station, reach_of, stages_of
from natix_cascade.plan.throughput import floor_of, needed_rate, needed_reach, predict, work_of
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec


def rate(per_second: float, batch: int = 256) -> Rate:
    return Rate(ms={batch: 1000 * batch / per_second})


def station(model: str, per_second: float, *gpus: str, share: float = 1.0) -> Station:
    return Station(model=model, rate=rate(per_second), replicas=tuple((gpu,) for gpu in gpus or ("g",)), share=share)


def level(name: str, reach: float, *stations: Station) -> Stage:
    return Stage(name=name, reach=reach, stations=stations)


@st.composite
def cascades(draw: st.DrawFn) -> tuple[Stage, ...]:
    gpus = [f"g{index}" for index in range(draw(st.integers(1, 3)))]
    places = st.lists(st.lists(st.sampled_from(gpus), min_size=1, max_size=2, unique=True).map(tuple), min_size=1)
    stages, reach = [], 1.0
    for number in range(draw(st.integers(1, 4))):
        ask = draw(st.sampled_from(["all", "one", "in_turn"]))
        size = draw(st.integers(1, 3))
        share = st.floats(0.05, 1.0)
        stations = tuple(
            Station(
                model=f"m{number}{index}",
                rate=rate(draw(st.floats(1.0, 1e5)), draw(st.sampled_from([1, 16, 256]))),
                replicas=tuple(draw(places)[:3]),
                share={"all": draw(share), "one": 1 / size, "in_turn": 1 - index / size}[ask],
            )
            for index in range(size)
        )
        stages.append(Stage(name=f"L{number}", reach=reach, stations=stations, ask=ask))
        reach *= draw(st.floats(0.05, 1.0))
    return tuple(stages)


def by_hand(stages: tuple[Stage, ...]) -> dict[str, float]:
    """Device to seconds, summed another way: picture by picture of a thousand, device by device."""
    gpus = sorted({g for stage in stages for s in stage.stations for copy in s.replicas for g in copy})
    return {
        gpu: sum(
            stage.reach * s.share * s.rate.ms[s.rate.best_batch] / 1000 / s.rate.best_batch
            * sum(gpu in copy for copy in s.replicas) / len(s.replicas)
            for stage in stages
            for s in stage.stations
        )
        for gpu in gpus
    }  # fmt: skip


def test_the_catalogue_s_formula() -> None:
    stages = (
        level("gate", 1.0, station("gate", 100_000)),
        level("vit", 0.1, station("vit", 1_000)),
        level("vlm", 0.01, station("vlm", 100)),
    )
    found = predict(stages)
    assert found.throughput == pytest.approx(1 / (1 / 100_000 + 0.1 / 1_000 + 0.01 / 100))
    assert (found.bound_by, found.heaviest) == ("g", "vit")
    assert found.devices["g"].utilisation == 1
    assert list(found.devices["g"].models) == ["vit", "vlm", "gate"]


def test_two_copies_halve_the_load_and_one_copy_on_two_devices_does_not() -> None:
    apart = (level("a", 1.0, station("m", 100, "g0", "g1")),)
    together = (level("a", 1.0, Station(model="m", rate=rate(100), replicas=(("g0", "g1"),))),)
    assert predict(apart).throughput == pytest.approx(200)
    assert predict(together).throughput == pytest.approx(100)
    assert work_of(apart) == pytest.approx(0.01)
    assert work_of(together) == pytest.approx(0.02)


def test_the_busiest_device_bounds_and_the_others_have_time_left() -> None:
    members = (station("m", 100, "g0"), station("n", 400, "g1"), station("o", 50, "g2", share=0))
    found = predict((level("a", 1.0, *members),))
    assert (found.throughput, found.bound_by) == (pytest.approx(100), "g0")
    assert found.devices["g1"].utilisation == pytest.approx(0.25)
    assert found.devices["g1"].throughput == pytest.approx(400)
    assert found.devices["g2"].throughput is None
    json.dumps(found.as_dict(), allow_nan=False)


@given(cascades())
def test_loads_are_those_added_by_hand(stages: tuple[Stage, ...]) -> None:
    found, loads = predict(stages), by_hand(stages)
    assert {name: load.seconds for name, load in found.devices.items()} == pytest.approx(loads)
    assert found.throughput == pytest.approx(1 / max(loads.values()))
    assert work_of(stages) == pytest.approx(sum(loads.values()))
    assert found.throughput <= len(loads) / work_of(stages) * (1 + 1e-9)  # no placement beats even sharing


@given(cascades(), st.floats(0.01, 1.0), st.data())
def test_fewer_pictures_at_a_level_never_slow_the_whole(
    stages: tuple[Stage, ...], factor: float, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(stages) - 1))
    less = tuple(scaled(stage, factor) if index >= at else stage for index, stage in enumerate(stages))
    assert predict(less).throughput >= predict(stages).throughput * (1 - 1e-9)


def scaled(stage: Stage, factor: float) -> Stage:
    return Stage(name=stage.name, reach=stage.reach * factor, stations=stage.stations, ask=stage.ask)


@settings(max_examples=200)
@given(cascades(), st.floats(0.2, 50.0), st.data())
def test_the_needed_share_is_exactly_the_largest_that_does(
    stages: tuple[Stage, ...], faster: float, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(stages) - 1))
    wanted = predict(stages).throughput * faster
    needed = needed_reach(stages, stages[at].name, wanted)
    limit = stages[at - 1].reach if at else 1.0

    def with_share(share: float) -> float:
        changed = (scaled(s, share / stages[at].reach) if i >= at else s for i, s in enumerate(stages))
        return 1 / max(by_hand(tuple(changed)).values())

    if needed is None:
        assert with_share(1e-12) < wanted * (1 + 1e-6)
        return
    assert 0 <= needed <= limit
    if needed > 1e-9:
        assert with_share(needed) >= wanted * (1 - 1e-6)
    if needed < limit * (1 - 1e-9):
        assert with_share(min(needed * 1.01 + 1e-9, limit)) < wanted * (1 + 1e-6)


@settings(max_examples=200)
@given(cascades(), st.floats(0.2, 50.0), st.data())
def test_the_needed_rate_is_exactly_the_smallest_that_does(
    stages: tuple[Stage, ...], faster: float, data: st.DataObject
) -> None:
    model = data.draw(st.sampled_from([s.model for stage in stages for s in stage.stations]))
    wanted = predict(stages).throughput * faster
    needed = needed_rate(stages, model, wanted)

    def with_rate(per_second: float) -> float:
        return 1 / max(by_hand(tuple(sped_up(stage, model, per_second) for stage in stages)).values())

    if needed is None:
        assert with_rate(1e15) < wanted * (1 + 1e-6)
    elif needed:
        assert with_rate(needed * 1.001) >= wanted * (1 - 1e-6)
        assert with_rate(needed * 0.99) < wanted * (1 + 1e-6)


def sped_up(stage: Stage, model: str, per_second: float) -> Stage:
    stations = tuple(
        Station(model=s.model, rate=rate(per_second), replicas=s.replicas, share=s.share) if s.model == model else s
        for s in stage.stations
    )
    return Stage(name=stage.name, reach=stage.reach, stations=stations, ask=stage.ask)


def test_what_cannot_be_reached_is_none() -> None:
    stages = (level("gate", 1.0, station("gate", 1_000)), level("vlm", 0.5, station("vlm", 100)))
    assert needed_reach(stages, "vlm", 1_001) is None
    assert needed_reach(stages, "vlm", 1_000) == 0
    assert needed_reach(stages, "vlm", 500) == pytest.approx(0.1)
    assert needed_reach(stages, "vlm", 1) == 1
    assert needed_rate(stages, "gate", 201) is None
    assert needed_rate(stages, "vlm", 500) == pytest.approx(500)
    with pytest.raises(PlanError, match="above 0 pictures a second, not 0"):
        needed_rate(stages, "vlm", 0)
    with pytest.raises(PlanError, match="no level 'x'; there are gate, vlm"):
        needed_reach(stages, "x", 1)
    with pytest.raises(PlanError, match="no model 'x'; there are gate, vlm"):
        needed_rate(stages, "x", 1)
    with pytest.raises(PlanError, match="no picture reaches level 'vlm'"):
        needed_reach((stages[0], scaled(stages[1], 0)), "vlm", 1)


def test_two_roles_of_one_card_are_sped_up_together() -> None:
    stages = (level("a", 1.0, station("florence", 100)), level("b", 0.5, station("florence:signs", 100)))
    assert needed_rate(stages, "florence", 300) == pytest.approx(450)


def test_the_latency_floor_goes_along_the_levels() -> None:
    slow, fast = (Rate(ms={1: ms, 256: 20 * ms}) for ms in (10.0, 2.0))
    members = tuple(Station(model=m, rate=r, replicas=(("g",),), share=0.5) for m, r in (("s", slow), ("f", fast)))
    one = Stage(name="one", reach=0.25, ask="one", stations=members)
    every = Stage(name="all", reach=1.0, stations=tuple(station_with_full_share(m) for m in members))
    assert floor_of(every) == pytest.approx(0.010)
    assert floor_of(one) == pytest.approx(0.006)
    found = predict((every, one, level("count", 0.25)))
    assert found.floor_s == pytest.approx(0.0115)
    assert found.furthest_floor_s == pytest.approx(0.016)


def station_with_full_share(member: Station) -> Station:
    return Station(model=member.model, rate=member.rate, replicas=member.replicas)


def test_times_go_straight_between_measured_batches() -> None:
    measured = Rate(ms={1: 4.0, 32: 8.0, 256: 80.0})
    assert measured.best_batch == 32
    assert measured.per_second == pytest.approx(4_000)
    assert [measured.seconds(n) for n in (1, 32, 256)] == pytest.approx([0.004, 0.008, 0.080])
    assert measured.seconds(144) == pytest.approx(0.044)
    assert Rate(ms={16: 160.0}).seconds(4) == pytest.approx(0.040)
    with pytest.raises(PlanError, match="larger than the largest measured one, 256"):
        measured.seconds(257)


def test_shares_become_reach() -> None:
    assert reach_of([0.7, 0.2, 0.1], 3) == pytest.approx([1.0, 0.3, 0.1])
    assert reach_of([0.7, 0.3], 3) == pytest.approx([1.0, 0.3, 0.0])
    assert reach_of([0.1] * 10, 11)[10] == 0
    for leaving in ([0.7, 0.4], [-0.1, 0.2], [0.2], [0.1] * 4):
        with pytest.raises(PlanError, match="shares"):
            reach_of(leaving, 3)


@pytest.fixture
def cascade() -> CascadeSpec:
    members = tuple(MemberSpec(model=name, band=band) for name, band in (("p", (0.5, 1.0)), ("q:role", (0.0, 0.5))))
    return CascadeSpec(
        name="c",
        levels=(
            LevelSpec(name="gate", members=(MemberSpec(model="gate"),)),
            LevelSpec(name="pick", members=members, mode="one"),
            LevelSpec(name="count"),
        ),
    )


def test_a_cascade_is_laid_out(cascade: CascadeSpec, tmp_path: Path) -> None:
    file = tmp_path / "rates.json"
    file.write_text(json.dumps({"models": {"gate": {"ms": {"1": 1}}, "q": {"ms": {"4": 8.0, "1": 3}}}}), "utf-8")
    rates = read_rates(file)
    assert rate_of("q:role", rates) == Rate(ms={1: 3.0, 4: 8.0})
    with pytest.raises(PlanError, match="level 'pick': no rate for p; there are rates for gate, q"):
        stages_of(cascade, rates, (1, 0.5, 0.5))
    stages = stages_of(cascade, rates, (1, 0.5, 0.5), gpus=("a", "b"), placement={"gate": (("a",),)}, free=True)
    assert [(s.name, s.ask, [x.model for x in s.stations]) for s in stages] == [
        ("gate", "all", ["gate"]),
        ("pick", "one", ["q:role"]),
        ("count", "all", []),
    ]
    assert stages[1].stations[0].share == 0.5
    assert [s.stations[0].replicas for s in stages[:2]] == [(("a",),), (("a",), ("b",))]
    asked = stages_of(cascade, rates, (1, 0.5, 0.5), asked={"q:role": 0.9}, free=True)
    assert asked[1].stations[0].share == 0.9
    with pytest.raises(PlanError, match=r"has 3 levels \(gate, pick, count\), not 2"):
        stages_of(cascade, rates, (1, 0.5), free=True)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"models": {"m": {"ms": {}}}}', "ms"),
        ('{"models": {"m": {"ms": {"1": 0}}}}', "ms"),
        ('{"models": {"m": {"ms": {"0": 1}}}}', "ms"),
        ('{"models": {"m": {"speed": 3}}}', "speed"),
    ],
)
def test_a_wrong_file_of_rates_is_told(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "rates.json").write_text(text, "utf-8")
    with pytest.raises(SpecError, match=match):
        read_rates(tmp_path / "rates.json")


@pytest.mark.parametrize(
    ("stages", "match"),
    [
        ((level("a", 0.5), level("b", 0.6)), "level 'b' is reached by 0.6 of the pictures, not 0 to 0.5"),
        ((level("a", 1.0, station("m", 1, share=1.5)),), "0 to 1"),
        ((Stage(name="a", reach=1.0, ask="one", stations=(station("m", 1), station("n", 1))),), "more than 1 together"),
        (
            (Stage(name="a", reach=1.0, ask="in_turn", stations=(station("m", 1, share=0.1), station("n", 1))),),
            "shares .* grow",
        ),
        ((level("a", 1.0, Station(model="m", rate=Rate(ms={1: 1.0}), replicas=())),), "no device"),
        ((level("a", 1.0),), "nothing bounds"),
        ((level("a", 1.0, station("m", 1, share=0)),), "nothing bounds"),
    ],
)
def test_what_does_not_fit_is_told(stages: tuple[Stage, ...], match: str) -> None:
    with pytest.raises(PlanError, match=match):
        predict(stages)


def test_rates_object_defaults() -> None:
    assert Rates(models={}).device == ""
