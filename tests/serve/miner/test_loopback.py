"""Real axon, real dendrite, real signatures, over loopback; behind the axon the real service, or one that is broken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

os.environ["READ_ONLY"] = "1"  # importing bittensor makes no folders at home
bittensor = pytest.importorskip("bittensor", reason="needs the miner extra: make test-miner")

from real_service import closed_port, command, http, odd_service, real_service  # noqa: E402  # beside this file

from natix_cascade.client import AsyncClient  # noqa: E402  # after the check that bittensor is there
from natix_cascade.errors import CascadeError  # noqa: E402
from natix_cascade.image import challenge_jpeg, decode  # noqa: E402
from natix_cascade.run.cascade import Cascade  # noqa: E402
from natix_cascade.serve.miner.axon import ExtendedImageSynapse, ImageSynapse, listen  # noqa: E402
from natix_cascade.serve.miner.chain import StaticChain, roster_of  # noqa: E402
from natix_cascade.serve.miner.door import Neuron, Roster  # noqa: E402
from natix_cascade.serve.miner.options import MinerOptions  # noqa: E402
from natix_cascade.serve.miner.reply import GUESS, prediction_of  # noqa: E402
from natix_cascade.serve.miner.run import Miner, running  # noqa: E402
from natix_cascade.serve.miner.wallet import open_wallet, throwaway_wallet  # noqa: E402
from natix_cascade.testing import render_scene  # noqa: E402

pytestmark = [
    pytest.mark.miner,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute:DeprecationWarning"),  # bittensor's own
    pytest.mark.filterwarnings("ignore:You are calling this from an already-running:DeprecationWarning"),  # its __del__
]

PICTURES = [
    challenge_jpeg(decode(render_scene(seed, roadwork=bool(seed % 2)).jpeg()).pixels, f"L{seed % 4}", seed=seed)
    for seed in range(8)
]
KINDS = [ImageSynapse, ExtendedImageSynapse]
URL = "https://example.invalid/model"


class Wallets:
    def __init__(self, folder: Path) -> None:
        self.validator = throwaway_wallet(folder / "validator")
        self.miner = throwaway_wallet(folder / "miner")
        self.stranger = throwaway_wallet(folder / "stranger")

    def chain(self) -> StaticChain:
        return StaticChain(
            (
                Neuron(self.validator.hotkey.ss58_address, 5000.0, validator=True),
                Neuron(self.miner.hotkey.ss58_address, 1.0),
            )
        )


@pytest.fixture(scope="module", autouse=True)
def _no_look_outside() -> Iterator[None]:
    """A dendrite asks public services for its own address when it is made: nothing here leaves the machine."""
    from bittensor.utils import networking

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networking, "get_external_ip", lambda: "192.0.2.1")
        yield


@pytest.fixture(scope="module")
def wallets(tmp_path_factory: pytest.TempPathFactory) -> Wallets:
    return Wallets(tmp_path_factory.mktemp("wallets"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not command().is_file():
        pytest.skip(f"{command()} is not there: set NATIX_CASCADE_COMMAND to one that can serve (make test-miner)")
    with real_service(tmp_path_factory.mktemp("service") / "state") as url:
        yield url


@pytest.fixture(scope="module")
def own() -> list[float]:
    """What the embedded cascade says of the pictures."""
    with Cascade.load("embedded", threads=1) as cascade:
        verdicts = [cascade.detect(picture) for picture in PICTURES]
    return [prediction_of(verdict.probability, detected=verdict.detected) for verdict in verdicts]


@contextlib.asynccontextmanager
async def mining(wallets: Wallets, url: str | None, **options: Any) -> AsyncIterator[Miner]:
    chain = options.pop("chain", None) or wallets.chain()
    settings = MinerOptions(
        service_url=url,
        axon_host="127.0.0.1",
        axon_port=0,
        external_ip="127.0.0.1",
        model_url=URL,
        **options,
    )
    async with running(settings, wallets.miner, chain) as miner:
        yield miner


async def ask(miner: Miner, wallet: Any, synapse: Any, *, change: Any = None) -> Any:
    """One call as a validator makes it; `change` alters the prepared request."""
    async with bittensor.Dendrite(wallet=wallet) as dendrite:
        if change is not None:
            prepare = dendrite.preprocess_synapse_for_request

            def altered(*given: Any, **named: Any) -> Any:
                made = prepare(*given, **named)
                change(made)
                return made

            dendrite.preprocess_synapse_for_request = altered
        return await dendrite.call(miner.axon.info(), synapse, timeout=9.0, deserialize=False)


def of(kind: Any, picture: bytes) -> Any:
    return kind(image=base64.b64encode(picture).decode())


def test_both_requests_get_the_services_verdict(wallets: Wallets, service: str) -> None:
    async def run() -> None:
        async with mining(wallets, service) as miner, AsyncClient(service) as client:
            for picture in PICTURES:
                verdict = await client.infer(picture)
                wanted = prediction_of(verdict.probability, detected=verdict.detected)
                for kind in KINDS:
                    answer = await ask(miner, wallets.validator, of(kind, picture))
                    assert (answer.dendrite.status_code, answer.axon.status_code) == (200, 200)
                    assert answer.prediction == pytest.approx(wanted)
                    assert round(answer.prediction) == int(verdict.detected)
                assert answer.model_url == URL
                assert f"level {verdict.exit_level}" in answer.explanation
            assert miner.judge.tally.service == 2 * len(PICTURES)
            assert miner.judge.tally.fallback == 0

    asyncio.run(run())


def test_a_service_that_is_down_is_replaced(
    wallets: Wallets, own: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with mining(wallets, f"http://127.0.0.1:{closed_port()}") as miner:
            for picture, wanted in zip(PICTURES, own, strict=True):
                answer = await ask(miner, wallets.validator, of(ExtendedImageSynapse, picture))
                assert answer.prediction == pytest.approx(wanted)
                assert "the embedded cascade has answered" in answer.explanation
            assert miner.judge.tally.fallback == len(PICTURES)

    asyncio.run(run())
    assert "is `natix-cascade serve` running there?" in caplog.text


BROKEN = {
    "overloaded": http("503 Service Unavailable", b'{"type": "about:blank", "status": 503, "title": "Overloaded"}'),
    "no json": http("200 OK", b"<html>"),
    "another service": http("200 OK", b'{"hello": "world"}'),
    "no probability": http("200 OK", b'{"roadwork_detected": true, "probability": null}'),
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    "hangs": None,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_service_that_is_broken_is_replaced_in_time(wallets: Wallets, own: list[float], answer: bytes | None) -> None:
    async def run() -> None:
        async with odd_service(answer) as url, mining(wallets, url, budget_s=4.0) as miner:
            for picture, wanted in list(zip(PICTURES, own, strict=True))[:2]:
                said = await ask(miner, wallets.validator, of(ImageSynapse, picture))
                assert said.dendrite.status_code == 200
                assert said.prediction == pytest.approx(wanted)
            assert miner.judge.tally.fallback == 2

    asyncio.run(run())


@pytest.mark.parametrize(
    "image",
    [
        "",
        "not base64!",
        "AAAA",
        base64.b64encode(PICTURES[0][:1500]).decode(),
        base64.b64encode(b"GIF89a" * 9).decode(),
    ],
    ids=["empty", "no base64", "zeros", "truncated", "gif"],
)
def test_a_picture_that_is_none_is_guessed(wallets: Wallets, service: str, image: str) -> None:
    async def run() -> None:
        async with mining(wallets, service) as miner:
            answer = await ask(miner, wallets.validator, ExtendedImageSynapse(image=image))
            assert answer.dendrite.status_code == 200
            assert answer.prediction == GUESS
            assert "guess" in answer.explanation

    asyncio.run(run())


def test_many_at_once_are_all_answered(wallets: Wallets, service: str, own: list[float]) -> None:
    async def run() -> None:
        async with mining(wallets, service) as miner:
            turns = [(k % len(PICTURES), KINDS[k % 2]) for k in range(80)]
            answers = await asyncio.gather(*(ask(miner, wallets.validator, of(kind, PICTURES[k])) for k, kind in turns))
            for (k, _), answer in zip(turns, answers, strict=True):
                assert answer.dendrite.status_code == 200
                assert answer.prediction == pytest.approx(own[k], abs=1e-4)  # the service serves the same cascade
            assert miner.judge.tally.guessed == 0

    asyncio.run(run())


def unsigned(request: Any) -> None:
    request.dendrite.signature = None


def forged(request: Any) -> None:
    request.dendrite.signature = "0x" + "11" * 64


def nameless(request: Any) -> None:
    request.dendrite.hotkey = None


def nonsense(request: Any) -> None:
    request.dendrite.hotkey = "no address at all"


@pytest.mark.parametrize(
    ("who", "change", "status"),
    [
        ("validator", None, 200),
        ("stranger", None, 403),
        ("miner", None, 403),
        ("validator", unsigned, 401),
        ("validator", forged, 401),
        ("validator", nameless, 403),
        ("validator", nonsense, 403),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_who_may_ask(wallets: Wallets, kind: Any, who: str, change: Any, status: int) -> None:
    async def run() -> None:
        async with mining(wallets, None) as miner:
            answer = await ask(miner, getattr(wallets, who), of(kind, PICTURES[1]), change=change)
            assert int(answer.dendrite.status_code) == status
            assert (answer.prediction == -1) == (status != 200)
            assert miner.judge.tally.challenges == (status == 200)

    asyncio.run(run())


@pytest.mark.parametrize(("change", "status"), [(None, 200), (unsigned, 401), (nameless, 403), (nonsense, 401)])
def test_where_anybody_may_ask_signatures_still_count(wallets: Wallets, change: Any, status: int) -> None:
    async def run() -> None:
        async with mining(wallets, None, allow_unregistered=True) as miner:
            answer = await ask(miner, wallets.stranger, of(ImageSynapse, PICTURES[1]), change=change)
            assert int(answer.dendrite.status_code) == status

    asyncio.run(run())


async def send(miner: Miner, prepared: Any) -> int:
    """Send a request that is signed already; the HTTP status."""
    url = f"http://127.0.0.1:{miner.axon.port}/{type(prepared).__name__}"
    async with httpx.AsyncClient(timeout=9.0) as client:
        answer = await client.post(url, headers=prepared.to_headers(), json=prepared.model_dump())
    return answer.status_code


def test_requests_count_once_in_any_order(wallets: Wallets) -> None:
    async def run() -> None:
        async with mining(wallets, None) as miner, bittensor.Dendrite(wallet=wallets.validator) as dendrite:
            first, second, third = (
                dendrite.preprocess_synapse_for_request(miner.axon.info(), of(kind, PICTURES[0]), 9.0)
                for kind in (ImageSynapse, ExtendedImageSynapse, ImageSynapse)
            )
            assert first.dendrite.nonce < second.dendrite.nonce < third.dendrite.nonce
            statuses = [await send(miner, each) for each in (second, first, second, third, first, third)]
            assert statuses == [200, 200, 401, 200, 401, 401]

    asyncio.run(run())


def test_a_request_of_long_ago_is_refused(wallets: Wallets) -> None:
    async def run() -> None:
        async with mining(wallets, None) as miner, bittensor.Dendrite(wallet=wallets.validator) as dendrite:
            old = dendrite.preprocess_synapse_for_request(miner.axon.info(), of(ImageSynapse, PICTURES[0]), 9.0)
            asks = old.dendrite
            asks.nonce -= 60 * 10**9
            hotkeys = f"{asks.hotkey}.{miner.axon.wallet.hotkey.ss58_address}"
            message = f"{asks.nonce}.{hotkeys}.{asks.uuid}.{old.body_hash}"
            asks.signature = f"0x{wallets.validator.hotkey.sign(message).hex()}"
            assert await send(miner, old) == 401

    asyncio.run(run())


def test_a_connection_outlives_the_dendrites_patience(wallets: Wallets) -> None:
    from bittensor.core.dendrite import aiohttp

    async def run() -> None:
        async with mining(wallets, None) as miner, aiohttp.TCPConnector() as connector:
            assert miner.axon.fast_config.timeout_keep_alive > connector._keepalive_timeout

    asyncio.run(run())


def test_stake_is_asked_for(wallets: Wallets) -> None:
    async def run() -> None:
        for least, status in ((5000.0, 200), (5001.0, 403)):
            async with mining(wallets, None, min_stake=least) as miner:
                answer = await ask(miner, wallets.validator, of(ImageSynapse, PICTURES[1]))
                assert int(answer.dendrite.status_code) == status

    asyncio.run(run())


def test_a_request_of_another_name_is_not_found(wallets: Wallets) -> None:
    other = type("VideoSynapse", (bittensor.Synapse,), {})

    async def run() -> None:
        async with mining(wallets, None) as miner:
            answer = await ask(miner, wallets.validator, other())
            assert int(answer.dendrite.status_code) == 404

    asyncio.run(run())


class Growing(StaticChain):
    """Fails at the second reading; the stranger is there from the third."""

    def __init__(self, first: Roster, then: Roster) -> None:
        super().__init__()
        self.readings = 0
        self.rosters = {1: first, 3: then}
        self.third = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def roster(self) -> Roster:
        self.readings += 1
        if self.readings == 2:
            raise ConnectionError("the chain is away")
        if self.readings > 3:
            self.loop.call_soon_threadsafe(self.third.set)  # the third is in force
        return self.rosters[min(self.readings, 3)]


def test_the_chain_is_read_again_and_a_failure_changes_nothing(
    wallets: Wallets, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        stranger = Neuron(wallets.stranger.hotkey.ss58_address, 1.0, validator=True)
        chain = Growing(wallets.chain().roster(), Roster.of([stranger]))
        async with mining(wallets, None, chain=chain, sync_s=0.05) as miner:
            await chain.third.wait()
            assert (await ask(miner, wallets.stranger, of(ImageSynapse, PICTURES[0]))).dendrite.status_code == 200
            refused = await ask(miner, wallets.validator, of(ImageSynapse, PICTURES[0]))
            assert int(refused.dendrite.status_code) == 403
            assert [axon.port for axon in chain.published] == [miner.axon.port]

    asyncio.run(run())
    assert "the hotkeys of the last reading stay" in caplog.text


def test_it_listens_where_it_is_told_to(wallets: Wallets) -> None:
    async def run() -> None:
        async with mining(wallets, None) as miner:
            port = miner.axon.port
            with socket.create_connection(("127.0.0.1", port)):
                pass
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port))  # the axon's own start binds to every address
            with pytest.raises(CascadeError, match="choose another --axon-port"):
                listen("127.0.0.1", port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    asyncio.run(run())


def test_a_chain_that_cannot_be_read_ends_it(wallets: Wallets) -> None:
    class Away(StaticChain):
        def roster(self) -> Roster:
            raise ConnectionError("no route")

    async def run() -> None:
        with pytest.raises(CascadeError, match="check --network"):
            async with mining(wallets, None, chain=Away()):
                pass

    asyncio.run(run())


def test_the_command_mines_offline_and_leaves_on_sigterm(wallets: Wallets) -> None:
    arguments = ["miner", "run", "--offline", "--alone", "--axon-port", "0", "--model-url", URL]
    process = subprocess.Popen([sys.executable, "-m", "natix_cascade", *arguments], stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr is not None
        found = None
        for line in process.stderr:
            found = re.search(r"listening on 127\.0\.0\.1:(\d+) as (\w+)", line)
            if found:
                break
        assert found is not None
        target = bittensor.AxonInfo(
            version=1, ip="127.0.0.1", port=int(found[1]), ip_type=4, hotkey=found[2], coldkey=found[2]
        )

        async def run() -> Any:
            async with bittensor.Dendrite(wallet=wallets.stranger) as dendrite:
                return await dendrite.call(target, of(ExtendedImageSynapse, PICTURES[1]), timeout=9, deserialize=False)

        answer = asyncio.run(run())
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
    assert 0 <= answer.prediction <= 1
    assert answer.model_url == URL
    assert process.returncode == 0
    assert "answered: challenges 1, service 0, fallback 1, guessed 0" in rest


def test_a_wallet_is_opened_or_missed(tmp_path: Path) -> None:
    made = throwaway_wallet(tmp_path)
    opened = open_wallet("once", "once", tmp_path)
    assert opened.hotkey.ss58_address == made.hotkey.ss58_address
    with pytest.raises(CascadeError, match="name another --wallet-name"):
        open_wallet("once", "other", tmp_path)


def test_a_metagraph_of_bittensor_is_read() -> None:
    import numpy as np

    graph = bittensor.Metagraph(72, network="finney", sync=False)
    assert roster_of(graph).neurons == {}
    graph.axons = [bittensor.AxonInfo(1, "127.0.0.1", 1, 4, hotkey, "") for hotkey in ("5A", "5B")]
    graph.stake = graph.total_stake = np.array([3.5, 0.0], np.float32)
    graph.validator_permit = np.array([True, False])
    assert roster_of(graph).neurons["5A"] == Neuron("5A", 3.5, validator=True)


def test_the_chain_takes_what_it_is_given() -> None:
    """As far as can be told without a network: the names and parameters that `SubtensorChain` uses are there."""
    kind = bittensor.Subtensor
    inspect.signature(kind.__init__).bind(None, network="finney")
    inspect.signature(kind.metagraph).bind(None, 72)
    inspect.signature(kind.serve_axon).bind(None, netuid=72, axon=None)
    assert inspect.signature(kind.serve_axon).return_annotation is bool
    inspect.signature(kind.close).bind(None)
