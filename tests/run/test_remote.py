"""Cascades whose models answer from servers: every promise over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_room import LONG, play, turns_true, waiting
from typer.testing import CliRunner

from natix_cascade import Cascade
from natix_cascade.cli.app import app
from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError, ModelError, TransientModelError
from natix_cascade.image import Picture
from natix_cascade.run import crowd
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.events import BreakerChanged, Call, Event
from natix_cascade.run.flights import Flights
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import BreakerOptions, ModelOptions, RunnerOptions
from natix_cascade.run.runner import Runner
from natix_cascade.spec.endpoints import Endpoint, Endpoints
from natix_cascade.testing import ScriptedModel, render_scene, scripted_cascade
from natix_cascade.testing.chat import PretendedChat, ask_card
from natix_cascade.trace import TraceContext, new_id

pytest.importorskip("httpx")
Grey = Callable[[int], Picture]
QUICK = BreakerOptions(window=10, calls=3, failure_rate=0.5, open_s=0.2)


def by_grey(pixels: np.ndarray) -> float:
    return min(1.0, float(pixels[0, 0, 0]) / 100)


def far(servers: Sequence[PretendedChat], *, gate: bool = True, endpoint: Any = None, **task: Any) -> LoadedCascade:
    """A gate that decides by grey, and a model on servers behind it (or alone)."""
    remote = ScriptedModel("far", card=ask_card("far", served_as="tiny", **task))
    local = ScriptedModel("gate", by_grey)
    resolved, _ = scripted_cascade([local, remote] if gate else [remote])
    where = tuple(Endpoint(url=server.url, **{"timeout_s": LONG, **(endpoint or {})}) for server in servers)
    endpoints = Endpoints(models={"far": where}) if where else None
    return LoadedCascade(resolved, {"far": Path()}, models={"gate": local}, endpoints=endpoints)


@contextlib.contextmanager
def room(
    *servers: PretendedChat,
    gate: bool = True,
    endpoint: Any = None,
    task: Any = None,
    listeners: Sequence[Any] = (),
    **options: Any,
) -> Iterator[Runner]:
    """A runner of such a cascade."""
    loaded = far(servers, gate=gate, endpoint=endpoint, **(task or {}))
    chosen = RunnerOptions(models={"far": ModelOptions(**options)})
    runner = Runner(loaded, options=chosen, listeners=listeners)
    try:
        yield runner
    finally:
        for server in servers:
            server.release.set()
        runner.close()


def opinion(verdict: Verdict) -> Any:
    return next(each for each in verdict.opinions if each.model == "far")


def test_a_server_has_the_last_word_and_its_price(grey: Grey) -> None:
    prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 10.0}
    with PretendedChat(0.97) as server, room(server, task=prices) as runner:
        verdict = play(lambda: runner.detect(grey(50)))
        assert verdict.detected
        assert opinion(verdict).score == pytest.approx(0.97)
        assert opinion(verdict).cost_usd == pytest.approx((200 + 10) / 1e6)
        assert verdict.cost_usd == pytest.approx((200 + 10) / 1e6)
        asked = len(server.requests)
        assert play(lambda: runner.detect(grey(99))).exit_level == "level-1"
        assert len(server.requests) == asked


def test_evidence_reaches_the_verdict(grey: Grey) -> None:
    with PretendedChat(0.97, says="Cones.") as server, room(server) as runner:
        verdict = play(lambda: runner.detect(grey(50), explain=True))
        assert opinion(verdict).evidence.text == "reason (written by the model): Cones."
        assert json.loads(json.dumps(verdict.as_dict()))


def test_a_server_is_told_whose_span_its_own_belong_to(grey: Grey) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with PretendedChat(0.97) as server, room(server) as runner:
        name = new_id()
        call = Call(name, time.time(), TraceContext.of_request(name, parent, "vendor=1"))
        play(lambda: runner.detect(grey(50), call=call))
        own = f"00-4bf92f3577b34da6a3ce929d0e0e4736-{call.trace.child('far').span_id}-01"
        assert set(server.traces) == {(own, "vendor=1")}
        server.traces.clear()
        play(lambda: runner.detect(grey(50)))
        assert set(server.traces) == {("", "")}  # nobody listens, and nobody has begun a trace


def test_pictures_under_way_together_keep_their_own_spans(grey: Grey) -> None:
    calls = [Call.begin(share=index % 2) for index in range(12)]

    async def scene(runner: Runner) -> None:
        await asyncio.gather(*(runner.detect(grey(50), call=call) for call in calls))

    with PretendedChat(0.97, delay_s=0.01) as server, room(server) as runner:
        play(lambda: runner.detect(grey(50)))
        server.traces.clear()
        play(lambda: scene(runner))
        assert sorted(server.traces) == sorted((call.trace.child("far").headers()["traceparent"], "") for call in calls)


# --- deadlines, cancellation, bounds --------------------------------------------------------------------------------


def test_at_the_deadline_the_best_verdict_is_given_and_the_request_is_closed(grey: Grey) -> None:
    with PretendedChat() as server, room(server) as runner:
        server.fault = "hang"

        async def scene() -> None:
            began = time.perf_counter()
            verdict = await runner.detect(grey(60), deadline_ms=300)
            assert time.perf_counter() - began < 5
            assert verdict.degraded
            assert verdict.probability == pytest.approx(0.6)
            await turns_true(lambda: server.left == 1)
            assert server.under_way == 0

        play(scene)
        assert [each.failures for each in runner.breakers.values()] == [0, 0]  # the picture had too little time


def test_who_leaves_closes_the_request_and_the_others_stay(grey: Grey) -> None:
    with PretendedChat(0.8) as server, room(server) as runner:
        play(runner.warm_up)
        server.fault = "hang"

        async def scene() -> None:
            tasks = [asyncio.ensure_future(runner.detect(grey(50))) for _ in range(6)]
            await turns_true(lambda: server.under_way == 6)
            for task in tasks[:3]:
                task.cancel()
            await turns_true(lambda: server.left == 3)
            server.release.set()
            assert not any(each.degraded for each in await asyncio.gather(*tasks[3:]))

        play(scene)


def test_the_server_never_has_more_than_it_takes(grey: Grey) -> None:
    with PretendedChat(0.8) as server, room(server, endpoint={"concurrency": 3}) as runner:
        play(runner.warm_up)
        server.fault = "hang"

        async def scene() -> None:
            tasks = [asyncio.ensure_future(runner.detect(grey(50))) for _ in range(12)]
            await turns_true(lambda: server.under_way == 3)
            server.release.set()
            await asyncio.gather(*tasks)

        play(scene)
        assert server.most_under_way == 3


def test_promise_7_a_stuck_server_does_not_starve_the_gate(grey: Grey) -> None:
    with PretendedChat(0.8) as server, room(server, endpoint={"concurrency": 2}, max_queue=4) as runner:
        play(runner.warm_up)
        server.fault = "hang"

        async def scene() -> None:
            held = [asyncio.ensure_future(runner.detect(grey(50))) for _ in range(6)]
            await turns_true(lambda: server.under_way == 2 and waiting(runner, "far") == 4)
            for _ in range(3):
                verdicts = await asyncio.gather(*(runner.detect(grey(value)) for value in (1, 2, 98, 99, 70)))
                assert [each.exit_level for each in verdicts] == ["level-1"] * 4 + ["level-2"]
                assert [each.degraded for each in verdicts] == [False] * 4 + [True]
                assert "4 pictures wait" in (opinion(verdicts[-1]).failure or "")
            assert not any(each.done() for each in held)
            server.release.set()
            assert not any(each.degraded for each in await asyncio.gather(*held))

        play(scene)


# --- breaker, retries, hedges, replicas -----------------------------------------------------------------------------


def test_a_server_that_dies_opens_the_breaker_and_closes_it_when_it_returns(grey: Grey) -> None:
    heard: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, BreakerChanged):
            heard.append(event.state)

    with PretendedChat(0.9) as server, room(server, attempts=1, breaker=QUICK, listeners=[hear]) as runner:

        async def scene() -> None:
            assert not (await runner.detect(grey(50))).degraded
            server.stop()
            said = []
            while runner.breakers["far", 0].state != "open":
                verdict = await runner.detect(grey(60))
                assert verdict.degraded
                assert verdict.probability == pytest.approx(0.6)
                said.append(opinion(verdict).failure)
            assert all("no connection to http://127.0.0.1" in each for each in said)
            runner.breakers["far", 0].force_open(0.5)
            assert "breaker is open" in opinion(await runner.detect(grey(60))).failure
            server.start()
            asked = len(server.requests)
            await turns_true(lambda: runner.breakers["far", 0].state == "half_open")
            verdict = await runner.detect(grey(50))
            assert not verdict.degraded
            assert opinion(verdict).score == pytest.approx(0.9)
            assert len(server.requests) > asked

        play(scene)
    assert heard == ["open", "half_open", "closed"]


def test_a_hanging_server_opens_the_breaker(grey: Grey) -> None:
    with PretendedChat(0.9) as server, room(server, timeout_ms=80, breaker=QUICK) as runner:
        server.fault = "hang"

        async def scene() -> None:
            for _ in range(3):
                assert (await runner.detect(grey(60))).degraded
            assert runner.breakers["far", 0].state == "open"
            await turns_true(lambda: server.under_way == 0)

        play(scene)


def test_a_busy_server_is_asked_again_when_it_said(grey: Grey) -> None:
    with PretendedChat(0.9) as server, room(server) as runner:
        play(runner.warm_up)
        server.faults.append("busy")
        server.retry_after = "0.3"
        began = time.perf_counter()
        verdict = play(lambda: runner.detect(grey(50)))
        assert not verdict.degraded
        assert time.perf_counter() - began >= 0.3
        server.faults.append("unavailable")
        server.retry_after = "30"
        began = time.perf_counter()
        assert play(lambda: runner.detect(grey(50), deadline_ms=2000)).degraded  # no sense in waiting for that
        assert time.perf_counter() - began < 2


def test_retries_keep_to_the_budget(grey: Grey) -> None:
    with (
        PretendedChat(0.9) as server,
        room(server, attempts=5, breaker=BreakerOptions(window=1000, calls=999)) as runner,
    ):
        play(runner.warm_up)
        asked = len(server.requests)
        server.fault = "unavailable"

        async def scene() -> None:
            verdicts = await asyncio.gather(*(runner.detect(grey(60)) for _ in range(40)))
            assert all(each.degraded for each in verdicts)

        play(scene)
        assert 40 <= len(server.requests) - asked <= 40 + 10 + 0.2 * 80  # two models ask: each adds its share


def test_as_many_replicas_as_servers_and_one_that_is_gone_is_left_alone(grey: Grey) -> None:
    with PretendedChat(0.9) as first, PretendedChat(0.9) as second, room(first, second, breaker=QUICK) as runner:
        assert {key for key in runner.breakers if key[0] == "far"} == {("far", 0), ("far", 1)}

        async def scene() -> None:
            assert await runner.warm_up(tune=True) == {}
            assert len(first.requests) == len(second.requests) == 1
            first.fault = second.fault = "hang"
            tasks = [asyncio.ensure_future(runner.detect(grey(50))) for _ in range(8)]
            await turns_true(lambda: first.under_way == second.under_way == 4)  # the least busy is asked
            first.fault = second.fault = None
            first.release.set()
            second.release.set()
            await asyncio.gather(*tasks)
            first.stop()
            for _ in range(10):
                assert not (await runner.detect(grey(50))).degraded

        play(scene)


def test_a_hedge_goes_to_the_other_server_and_the_loser_is_closed(grey: Grey) -> None:
    with PretendedChat(0.9) as first, PretendedChat(0.9) as second, room(first, second, hedge_ms=50) as runner:

        async def scene() -> None:
            await runner.warm_up()
            first.fault = "hang"
            for _ in range(3):
                assert not (await runner.detect(grey(50))).degraded
            await turns_true(lambda: first.under_way == 0)
            assert first.left >= 1

        play(scene)


def test_explaining_has_a_patience_of_its_own(grey: Grey) -> None:
    with PretendedChat(0.9) as server, room(server) as runner:

        async def scene() -> None:
            for _ in range(20):
                await runner.detect(grey(50))
            asker = runner._askers["far"]
            assert asker.timeout_s < 5
            assert asker._patience(explain=True) == 30

        play(scene)


def test_models_on_servers_are_not_tuned_and_fly() -> None:
    with PretendedChat(0.9) as server, room(server) as runner:
        play(lambda: runner.warm_up(tune=True))
        assert len(server.requests) == 1
        (replica,) = runner._askers["far"].replicas
        assert isinstance(replica.desk, Flights)


def test_a_model_without_a_server_is_named_at_the_start(grey: Grey) -> None:
    with room() as runner:
        silent = play(runner.warm_up)
        assert "NATIX_CASCADE_ENDPOINTS" in silent["far"]
        assert play(lambda: runner.detect(grey(60))).degraded


# --- in bulk ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bulk(*servers: PretendedChat, **how: Any) -> Iterator[BulkRunner]:
    loaded = far(servers, **how)
    runner = BulkRunner(loaded)
    try:
        yield runner
    finally:
        runner.close()
        loaded.close()


def test_bulk_asks_all_servers_for_many_pictures_at_a_time(grey: Grey) -> None:
    with PretendedChat(0.9, delay_s=0.02) as first, PretendedChat(0.9, delay_s=0.02) as second:
        with bulk(first, second, endpoint={"concurrency": 4}) as runner:
            verdicts = runner.judge([grey(value) for value in (50, 99, *[60] * 30)])
        assert all(isinstance(each, Verdict) and not each.degraded for each in verdicts)
        assert min(len(first.requests), len(second.requests)) >= 10
        assert max(first.most_under_way, second.most_under_way) <= 4


def test_in_bulk_a_busy_server_is_waited_for(grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_OPEN_S", 0.2)
    with PretendedChat(0.9) as server, bulk(server, gate=False) as runner:
        runner.judge([grey(1)])
        server.retry_after = "0.05"
        server.faults.extend(["busy"] * 4 + ["unavailable"])
        verdicts = runner.judge([grey(value) for value in range(12)])
    assert not any(isinstance(each, CascadeError) or each.degraded for each in verdicts)


def test_in_bulk_a_server_that_restarts_costs_no_picture(grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_OPEN_S", 0.3)
    with PretendedChat(0.9) as server, bulk(server) as runner:
        runner.judge([grey(60)])
        server.stop()
        threading.Timer(0.5, server.start).start()
        verdicts = runner.judge([grey(60)] * 30)
    assert not any(isinstance(each, CascadeError) or each.degraded for each in verdicts)


def test_in_bulk_a_server_that_is_gone_is_waited_for_once(grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_OPEN_S", 0.1)
    monkeypatch.setattr(crowd, "_ROUNDS", 4)
    with PretendedChat(0.9) as server, bulk(server) as runner:
        runner.judge([grey(60)])
        server.stop()
        verdicts = runner.judge([grey(60)] * 8)
        assert all(isinstance(each, Verdict) and each.degraded for each in verdicts)
        began = time.monotonic()
        runner.judge([grey(60)] * 8)
        assert time.monotonic() - began < 0.3
        server.start()
        time.sleep(0.15)
        runner.judge([grey(60)])
        (verdict,) = runner.judge([grey(60)])
        assert isinstance(verdict, Verdict)
        assert not verdict.degraded


def test_in_bulk_a_failure_is_one_pictures_own(grey: Grey) -> None:
    with PretendedChat(0.9) as server, bulk(server) as runner:
        runner.judge([grey(50)])
        server.faults.extend([None, "error", None, "garbage"])
        verdicts = runner.judge([grey(60)] * 10)
    assert sum(each.degraded for each in verdicts if isinstance(each, Verdict)) == 2
    assert len(verdicts) == 10


def test_bulk_without_a_server_says_so(grey: Grey) -> None:
    with bulk() as runner:
        (verdict,) = runner.judge([grey(60)])
        scores, _ = runner.score([grey(60), grey(70)])
    assert isinstance(verdict, Verdict)
    assert "NATIX_CASCADE_ENDPOINTS" in opinion(verdict).failure
    np.testing.assert_allclose(scores[:, 0], [0.6, 0.7])
    assert np.isnan(scores[:, 1]).all()


# --- from files -------------------------------------------------------------------------------------------------------


def files(folder: Path, server: PretendedChat) -> tuple[Path, Path, Path]:
    """A cascade with one model on a server, the file of endpoints, and a picture."""
    cards = folder / "cards"
    cards.mkdir()
    (cards / "far.yaml").write_text(
        "name: far\nengine: openai\nlicence: none\ninput: {height: 448, width: 640}\ntask: {kind: ask}\n"
    )
    cascade = folder / "mine.yaml"
    cascade.write_text("name: mine\nquestion: {}\nlevels:\n  - name: only\n    members: [{model: far}]\n")
    endpoints = folder / "endpoints.yaml"
    endpoints.write_text(f"models:\n  far:\n    - url: {server.url}\n      model: tiny\n")
    picture = folder / "street.jpg"
    picture.write_bytes(render_scene(1, roadwork=True, size=(320, 180)).jpeg())
    return cascade, endpoints, picture


def test_a_cascade_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PretendedChat(0.9) as server:
        cascade, endpoints, picture = files(tmp_path, server)
        with Cascade.load(cascade, endpoints=endpoints) as loaded:
            loaded.warm_up()
            assert loaded.detect(picture).probability == pytest.approx(0.9)
        monkeypatch.setenv("NATIX_CASCADE_ENDPOINTS", str(endpoints))
        with Cascade.load(cascade) as loaded:
            assert loaded.detect(picture, deadline_ms=5000).detected
        monkeypatch.delenv("NATIX_CASCADE_ENDPOINTS")
        with Cascade.load(cascade) as loaded, pytest.raises(ModelError, match="has no server"):
            loaded.detect(picture)


def test_one_picture_does_not_wait_for_a_server_that_is_away(tmp_path: Path) -> None:
    with PretendedChat(0.9) as server:
        cascade, endpoints, picture = files(tmp_path, server)
        with Cascade.load(cascade, endpoints=endpoints) as loaded:
            assert loaded.detect(picture).detected
            server.stop()
            began = time.monotonic()
            for _ in range(6):
                with pytest.raises(ModelError, match=r"no connection|breaker is open"):
                    loaded.detect(picture)
            assert time.monotonic() - began < 5


def test_the_command_line_takes_the_file(tmp_path: Path) -> None:
    with PretendedChat(0.9) as server:
        cascade, endpoints, picture = files(tmp_path, server)
        options = ["--cascade", str(cascade), "--endpoints", str(endpoints)]
        result = CliRunner().invoke(app, ["detect", str(picture), *options, "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["roadwork_detected"] is True
        out = tmp_path / "scan.jsonl"
        result = CliRunner().invoke(app, ["scan", str(picture.parent), "--out", str(out), *options, "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(out.read_text().splitlines()[0])["roadwork_detected"] is True
        manifest = tmp_path / "manifest.csv"
        manifest.write_text("path,label\nstreet.jpg,1\n")
        kept = tmp_path / "records.parquet"
        result = CliRunner().invoke(app, ["record", str(manifest), "--out", str(kept), *options])
        assert result.exit_code == 0, result.output
        result = CliRunner().invoke(app, ["evaluate", str(manifest), *options, "--levels", "L0", "--json"])
        assert result.exit_code == 0, result.output
        asked = len(server.requests)
    assert asked >= 4


def test_an_error_that_passes_carries_its_hint() -> None:
    assert TransientModelError("away").retry_after_s is None
    assert TransientModelError("away", retry_after_s=2.0).retry_after_s == 2.0
    assert str(TransientModelError("away", retry_after_s=2.0)) == "away"
