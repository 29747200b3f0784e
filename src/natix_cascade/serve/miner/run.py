"""A miner at work: the axon's server, the service's client and the chain, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from natix_cascade.errors import CascadeError, MissingExtraError
from natix_cascade.serve.miner.chain import Chain
from natix_cascade.serve.miner.door import Door, Roster
from natix_cascade.serve.miner.embedded import Embedded
from natix_cascade.serve.miner.judge import Asker, Judge
from natix_cascade.serve.miner.options import MinerOptions

if TYPE_CHECKING:
    from natix_cascade.client import AsyncClient

__all__ = ["Miner", "need_bittensor", "running", "serve"]

_ATTEMPTS = 2
"""Tries of one challenge; the embedded cascade is nearer than a third."""
_log = logging.getLogger("natix_cascade.miner")


@dataclass(frozen=True, slots=True)
class Miner:
    """A miner at work.

    Attributes
    ----------
    axon : bittensor.Axon
        Where it is asked.
    judge : Judge
        Who answers, and the tally.
    door : Door
        Who may ask.
    served : asyncio.Task
        Ends when the server has stopped.
    """

    axon: Any
    judge: Judge
    door: Door
    served: asyncio.Task[None]


def need_bittensor() -> None:
    """Say in one line what to install when bittensor is not there.

    Raises
    ------
    MissingExtraError
        It is not there, or it is one that cannot be imported.
    """
    try:
        import bittensor  # noqa: F401, PLC0415  # the miner's environment only
    except ImportError as error:
        raise MissingExtraError(
            f"the miner needs bittensor, which cannot be imported ({error}): with Python 3.11, in an environment of "
            "its own, pip install 'natix-cascade[miner]'"
        ) from error


async def serve(options: MinerOptions, wallet: Any, chain: Chain) -> Judge:
    """Mine until SIGINT or SIGTERM; what is under way is finished.

    Parameters
    ----------
    options : MinerOptions
    wallet : bittensor.Wallet
        With the hotkey that signs.
    chain : Chain
        Who is registered; where the axon is made known.

    Returns
    -------
    Judge
        With the tally.

    Raises
    ------
    CascadeError
        Something is wrong from the start: the address is taken, the extra is missing.
    """
    async with running(options, wallet, chain) as miner:
        _log.info("listening on %s:%s as %s", options.axon_host, miner.axon.port, wallet.hotkey.ss58_address)
        await miner.served
        return miner.judge


@contextlib.asynccontextmanager
async def running(
    options: MinerOptions, wallet: Any, chain: Chain, *, service: Asker | None = None
) -> AsyncIterator[Miner]:
    """Start a miner and stop it at the end; parameters and errors as for `serve`.

    Parameters
    ----------
    service : Asker, optional
        Asked instead of the one at the service's address.
    """
    need_bittensor()
    from natix_cascade.serve.miner.axon import attach, listen, make_axon  # noqa: PLC0415  # the miner's environment

    async with contextlib.AsyncExitStack() as stack:
        _leave_in_peace(stack)
        sock = stack.enter_context(listen(options.axon_host, options.axon_port))
        roster = await _first_roster(chain)
        if wallet.hotkey.ss58_address not in roster.neurons and not options.allow_unregistered:
            _log.warning("this miner's own hotkey is not registered: no validator will ask it")
        door = Door(
            roster,
            allow_unregistered=options.allow_unregistered,
            permit=options.permit,
            min_stake=options.min_stake,
        )
        if service is None and options.service_url is not None:
            service = await stack.enter_async_context(_client(options))
        embedded = Embedded(options.cascade)
        stack.callback(embedded.close)
        judge = Judge(service, embedded, budget_s=options.budget_s)
        axon = make_axon(
            wallet,
            port=sock.getsockname()[1],
            external_ip=options.external_ip,
            external_port=options.external_port,
        )
        attach(axon, judge, door, model_url=options.model_url)
        server = axon.fast_server
        served = asyncio.create_task(server.serve(sockets=[sock]))
        stack.push_async_callback(_stop, server, served)
        await asyncio.to_thread(chain.publish, axon)
        keeping = asyncio.create_task(_keep_in_step(chain, door, judge, options.sync_s))
        stack.push_async_callback(_end, keeping)
        yield Miner(axon, judge, door, served)


async def _first_roster(chain: Chain) -> Roster:
    try:
        return await asyncio.to_thread(chain.roster)
    except Exception as error:
        raise CascadeError(f"the chain cannot be read ({error}): check --network and --netuid") from error


def _leave_in_peace(stack: contextlib.ExitStack | contextlib.AsyncExitStack) -> None:
    """The server raises the signal that stopped it once more: then it must not kill what is still to be closed."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: None)
        stack.callback(loop.remove_signal_handler, number)


def _client(options: MinerOptions) -> AsyncClient:
    from natix_cascade.client import AsyncClient  # noqa: PLC0415  # needs httpx

    try:
        return AsyncClient(
            options.service_url or "", key=options.service_key, timeout_s=options.budget_s, attempts=_ATTEMPTS
        )
    except ValueError as error:
        raise CascadeError(f"the service cannot be asked: {error}") from error


async def _keep_in_step(chain: Chain, door: Door, judge: Judge, every_s: float) -> None:
    """Read the chain now and then; when that fails the last reading stays."""
    while True:
        await asyncio.sleep(every_s)
        try:
            door.roster = await asyncio.to_thread(chain.roster)
        except Exception:  # noqa: BLE001  # the network may fail in any way; the miner goes on
            _log.exception("the chain cannot be read; the hotkeys of the last reading stay")
        _log.info("so far: %s", judge.tally)


async def _stop(server: Any, served: asyncio.Task[None]) -> None:
    server.should_exit = True
    with contextlib.suppress(CascadeError):
        await served


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
