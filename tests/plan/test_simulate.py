"""The simulation against what is known of queues, and against the closed form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natix_cascade.errors import PlanError
from natix_cascade.plan.rates import Rate
from natix_cascade.plan.simulate import Arrivals, Settings, simulate
from natix_cascade.plan.simulate_parts import Line, Server, connect
from natix_cascade.plan.simulate_run import Run
from natix_cascade.plan.stages import Stage, Station
from natix_cascade.plan.throughput import predict, work_of

ONE_MS = Rate(ms={1: 1.0})
BATCHED = Rate(ms={1: 2.0, 32: 5.1, 256: 27.5})  # 1.9 ms and 0.1 ms a picture


def single(rate: Rate = ONE_MS, replicas: tuple[tuple[str, ...], ...] = (("g",),)) -> tuple[Stage, ...]:
    return (Stage(name="a", reach=1.0, stations=(Station(model="m", rate=rate, replicas=replicas),)),)


def poisson(rate: float) -> Arrivals:
    return Arrivals(kind="poisson", rate=rate)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_fixed_times_wait_as_pollaczek_and_khinchine_say(load: float) -> None:
    found = simulate(single(), poisson(1000 * load), pictures=60_000)
    assert found.latency.mean == pytest.approx(1e-3 * (1 + load / 2 / (1 - load)), rel=0.03)
    assert found.utilisation["g"] == pytest.approx(load, rel=0.02)
    assert found.queues["m"].mean == pytest.approx(load**2 / 2 / (1 - load), rel=0.08)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_random_times_are_m_m_1(load: float) -> None:
    found = simulate(single(), poisson(1000 * load), pictures=60_000, settings=Settings(service="exponential"))
    mean = 1e-3 / (1 - load)
    assert found.latency.mean == pytest.approx(mean, rel=0.05)
    assert found.latency.p95 == pytest.approx(mean * math.log(20), rel=0.07)
    assert found.under_way == pytest.approx(load / (1 - load), rel=0.06)


def test_copies_share_one_queue_as_erlang_says() -> None:
    copies, offered = 3, 2.1
    found = simulate(
        single(replicas=tuple((f"g{index}",) for index in range(copies))),
        poisson(1000 * offered),
        pictures=60_000,
        settings=Settings(service="exponential"),
    )
    last = offered**copies / math.factorial(copies) / (1 - offered / copies)
    waits = last / (sum(offered**k / math.factorial(k) for k in range(copies)) + last)
    assert found.latency.mean == pytest.approx(1e-3 * (1 + waits / (copies - offered)), rel=0.04)


@pytest.mark.parametrize("service", ["fixed", "exponential"])
def test_a_shared_gpu_is_processor_sharing(service: str) -> None:
    """Sojourn is E[S] / (1 - load), whatever the times are like."""
    how = Settings(sharing="shared", service=service)  # type: ignore[arg-type]
    found = simulate(single(replicas=(("g",),) * 48), poisson(600), pictures=30_000, settings=how)
    assert found.latency.mean == pytest.approx(1e-3 / 0.4, rel=0.06)
    assert found.utilisation["g"] == pytest.approx(0.6, rel=0.03)


def rates() -> st.SearchStrategy[Rate]:
    return st.builds(
        lambda fixed, each, batch: Rate(ms={1: fixed + each, batch: fixed + each * batch}),
        st.floats(0.1, 5.0),
        st.floats(0.01, 3.0),
        st.integers(2, 32),
    )


@st.composite
def cascades(draw: st.DrawFn, least: float = 0.1, goes_on: float = 0.1) -> tuple[Stage, ...]:
    stages, reach = [], 1.0
    copies = st.sampled_from([(("g0",),), (("g1",),), (("g0",), ("g1",)), (("g0", "g1"),), (("g1", "g2"), ("g0",))])
    for number in range(draw(st.integers(1, 3))):
        ask = draw(st.sampled_from(["all", "one", "in_turn"]))
        size = draw(st.integers(0 if number else 1, 3))
        stations = tuple(
            Station(
                model=f"m{number}{index}",
                rate=draw(rates()),
                replicas=draw(copies),
                share={"all": draw(st.floats(least, 1.0)), "one": 1 / size, "in_turn": 1 - index / size}[ask],
            )
            for index in range(size)
        )
        stages.append(Stage(name=f"L{number}", reach=reach, stations=stations, ask=ask))
        reach *= draw(st.floats(goes_on, 1.0))
    return tuple(stages)


@st.composite
def arrivals(draw: st.DrawFn) -> Arrivals:
    if draw(st.booleans()):
        return Arrivals(under_way=draw(st.integers(1, 200)))
    return Arrivals(kind=draw(st.sampled_from(["poisson", "fixed"])), rate=draw(st.floats(10.0, 3000.0)))


@st.composite
def settings_(draw: st.DrawFn) -> Settings:
    return Settings(
        max_delay_s=draw(st.sampled_from([0.0, 0.003, 0.05])),
        sharing=draw(st.sampled_from(["serial", "shared"])),
        service=draw(st.sampled_from(["fixed", "exponential"])),
        deadline_s=draw(st.sampled_from([None, 0.004, 0.1])),
        largest_batch=draw(st.sampled_from([None, 1, 7])),
        seed=draw(st.integers(0, 99)),
        warm_up=0.0,
    )


@settings(max_examples=60, deadline=None)
@given(cascades(), arrivals(), settings_())
def test_laws_that_hold_for_any_cascade(stages: tuple[Stage, ...], come: Arrivals, how: Settings) -> None:
    run = Run(stages, come, how, pictures=400, warm=0)
    run.go()
    # everybody leaves, and after having come
    assert len(run.pictures) == 400
    assert all(picture.gone and picture.left >= picture.came for picture in run.pictures)
    # Little: pictures under way, integrated over time, are the sum of their stays
    stays = sum(picture.left - picture.came for picture in run.pictures)
    assert run.under_way.whole() == pytest.approx(stays, rel=1e-6, abs=1e-9)
    # nobody stays in a queue or on a device
    assert run.under_way.value == 0
    assert all(not line.waiting.value for line in run.lines)
    assert all(not device.jobs for device in run.devices.values())
    # batches keep their limit; queues and devices cannot be fuller than the time allows
    assert all(line.taken <= line.limit * line.batches for line in run.lines)
    assert all(device.busy.most <= 1 and device.busy.whole() <= run.now + 1e-9 for device in run.devices.values())
    # a deadline is kept to the moment
    if how.deadline_s is not None:
        assert all(picture.left - picture.came <= how.deadline_s * (1 + 1e-9) for picture in run.pictures)
    else:
        assert not any(picture.late for picture in run.pictures)


@settings(max_examples=40, deadline=None)
@given(cascades(), arrivals(), st.sampled_from([0.0, 0.01]), st.sampled_from(["serial", "shared"]))
def test_no_device_works_faster_than_its_full_batches(
    stages: tuple[Stage, ...], come: Arrivals, delay: float, sharing: str
) -> None:
    """The closed form's bound with the shares that were really drawn: exact, no tolerance for chance."""
    how = Settings(max_delay_s=delay, sharing=sharing, warm_up=0.0)  # type: ignore[arg-type]
    run = Run(stages, come, how, pictures=300, warm=0)
    run.go()
    on = dict.fromkeys(run.devices, 0.0)
    for line in run.lines:
        if len(line.servers) == 1:  # with several copies the split is the run's own
            for device in line.servers[0].devices:
                on[device.name] += line.taken / line.station.rate.per_second
    assert all(on[name] <= device.busy.whole() * (1 + 1e-9) for name, device in run.devices.items())


@settings(max_examples=15, deadline=None)
@given(cascades(least=1.0, goes_on=0.5))
def test_never_above_the_closed_form_at_saturation(stages: tuple[Stage, ...]) -> None:
    """Up to chance (shares are drawn, the window cuts batches). Copies take from one queue, so the freer works more."""
    found = simulate(stages, Arrivals(under_way=200), pictures=2_000, settings=Settings(max_delay_s=0.02))
    devices = predict(stages).devices
    assert found.throughput <= len(devices) / work_of(stages) * 1.2
    if all(len(station.replicas) == 1 for stage in stages for station in stage.stations):
        assert found.throughput <= predict(stages).throughput * 1.2


def two_levels(reach: float = 0.2) -> tuple[Stage, ...]:
    slow = Rate(ms={1: 20.0, 32: 60.0})
    return (
        Stage(name="gate", reach=1.0, stations=(Station(model="gate", rate=BATCHED, replicas=(("g",),)),)),
        Stage(name="vlm", reach=reach, stations=(Station(model="vlm", rate=slow, replicas=(("g",),)),)),
    )


def test_the_closed_form_is_met_as_batches_fill() -> None:
    most = predict(two_levels()).throughput
    got = [
        simulate(two_levels(), Arrivals(under_way=under_way), pictures=30_000, settings=Settings(max_delay_s=delay))
        for under_way, delay in ((8, 0.0), (64, 0.0), (2_000, 1.0))
    ]
    shares = [found.throughput / most for found in got]
    assert shares == sorted(shares)
    assert shares[0] < 0.6
    assert shares[-1] == pytest.approx(1.0, abs=0.03)
    assert got[-1].queues["gate"].batch > 250
    assert got[-1].queues["vlm"].batch > 31
    assert got[-1].utilisation["g"] == pytest.approx(1.0, abs=0.01)


def test_shares_that_leave_are_the_wanted_ones() -> None:
    found = simulate(two_levels(0.25), poisson(500), pictures=20_000)
    assert found.leave_at == {"gate": pytest.approx(0.75, abs=0.02), "vlm": pytest.approx(0.25, abs=0.02)}
    assert found.pictures == 16_000


def test_a_batch_waits_for_company_and_no_longer_than_it_may() -> None:
    how = Settings(max_delay_s=0.010, warm_up=0.0)
    alone = simulate(single(BATCHED), Arrivals(kind="fixed", rate=1.0), pictures=5, settings=how)
    assert alone.latency.most == pytest.approx(0.012)
    full = simulate(single(Rate(ms={4: 1.0})), Arrivals(kind="fixed", rate=1000.0), pictures=400, settings=how)
    assert full.queues["m"].batch == pytest.approx(4, abs=0.05)
    assert full.latency.most == pytest.approx(0.004)  # the first of four waits for three, then 1 ms


def test_pictures_leave_at_the_deadline_and_free_their_places() -> None:
    how = Settings(deadline_s=0.0105)
    found = simulate(single(), poisson(3000), pictures=6_000, settings=how)
    assert found.latency.most == pytest.approx(0.0105)
    assert found.late == pytest.approx(2 / 3, abs=0.03)  # what is begun is finished in time
    assert found.queues["m"].most < 60
    assert found.leave_at["a"] == pytest.approx(1 - found.late)


def test_models_on_one_gpu_take_turns_or_share() -> None:
    pair = tuple(Station(model=name, rate=ONE_MS, replicas=(("g",),)) for name in "ab")
    stages = (Stage(name="both", reach=1.0, stations=pair),)
    come = Arrivals(kind="fixed", rate=10.0)
    for sharing in ("serial", "shared"):
        found = simulate(stages, come, pictures=50, settings=Settings(sharing=sharing))  # type: ignore[arg-type]
        assert found.latency.mean == pytest.approx(0.002)
    apart = tuple(Station(model=name, rate=ONE_MS, replicas=((f"g{name}",),)) for name in "ab")
    side_by_side = (Stage(name="both", reach=1.0, stations=apart),)
    assert simulate(side_by_side, come, pictures=50).latency.mean == pytest.approx(0.001)
    in_turn = (Stage(name="both", reach=1.0, stations=apart, ask="in_turn"),)
    assert simulate(in_turn, come, pictures=50).latency.mean == pytest.approx(0.002)


def test_a_model_on_two_gpus_is_not_starved_by_models_on_one() -> None:
    stages = (
        Stage(
            name="a",
            reach=1.0,
            stations=(
                Station(model="wide", rate=ONE_MS, replicas=(("g0", "g1"),), share=0.2),
                Station(model="x", rate=ONE_MS, replicas=(("g0",),)),
                Station(model="y", rate=ONE_MS, replicas=(("g1",),)),
            ),
        ),
    )
    found = simulate(stages, Arrivals(under_way=20), pictures=3_000)
    assert found.throughput == pytest.approx(predict(stages).throughput, rel=0.15)
    assert found.latency.most < 0.1


def test_servers_that_share_devices_through_others_are_one_group() -> None:
    from natix_cascade.plan.simulate_parts import Device

    devices = {name: Device(name) for name in "abcd"}
    line = Line("m", single()[0].stations[0], 1)
    servers = [Server(line, tuple(devices[name] for name in names)) for names in ("a", "b", "bc", "ca", "d")]
    connect(servers)
    assert [len(server.group.servers) for server in servers] == [4, 4, 4, 4, 1]
    assert servers[0].group.servers == servers[:4]
    assert len(line.groups) == 2


@pytest.mark.parametrize("sharing", ["serial", "shared"])
def test_equal_seeds_give_equal_results(sharing: str) -> None:
    def run(seed: int) -> object:
        how = Settings(seed=seed, sharing=sharing, service="exponential")  # type: ignore[arg-type]
        return simulate(two_levels(), poisson(800), pictures=3_000, settings=how).as_dict()

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize(
    ("come", "pictures", "match"),
    [
        (Arrivals(), 100, "under_way"),
        (poisson(0), 100, "rate above 0"),
        (poisson(10), 1, "too few"),
        (Arrivals(under_way=100), 100, "too few"),
        (Arrivals(under_way=100), 450, "all at once"),
    ],
)
def test_what_cannot_be_simulated_is_told(come: Arrivals, pictures: int, match: str) -> None:
    with pytest.raises(PlanError, match=match):
        simulate(single(Rate(ms={256: 10.0})), come, pictures=pictures)


def test_a_warm_up_is_a_share() -> None:
    with pytest.raises(PlanError, match="at least 0 and below 1, not 1"):
        simulate(single(), poisson(1), pictures=10, settings=Settings(warm_up=1.0))
