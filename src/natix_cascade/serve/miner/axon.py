"""The bittensor axon: the subnet's two requests, who may send them, and the socket that they come in by."""

from __future__ import annotations

import argparse
import logging
import socket
from typing import Any, Tuple  # noqa: UP035  # the axon compares a signature with typing.Tuple

from bittensor import Axon, Synapse
from bittensor.core.config import Config

from natix_cascade.errors import CascadeError
from natix_cascade.serve.miner.door import Door
from natix_cascade.serve.miner.judge import Judge
from natix_cascade.serve.miner.replay import Replays

__all__ = ["ExtendedImageSynapse", "ImageSynapse", "attach", "listen", "make_axon"]

_DRAIN_S = 10
_KEEP_ALIVE_S = 75
"""A dendrite leaves an idle connection after 15 s; were the axon first, a challenge could be sent into a closed one."""
_log = logging.getLogger("natix_cascade.miner")


class ImageSynapse(Synapse):
    """A challenge and its answer; the axon routes by the name of the class.

    Attributes
    ----------
    testnet_label : int
        The truth, where the validator gives it away; -1 where not. The miner does not read it.
    image : str
        A JPEG in base64.
    prediction : float
        P(roadwork) in [0, 1]; -1 is no answer.
    """

    testnet_label: int = -1
    image: str = ""
    prediction: float = -1.0


class ExtendedImageSynapse(ImageSynapse):
    """A challenge that also asks for the model's address and for reasons.

    Attributes
    ----------
    model_url : str
        The public repository with the model's card.
    explanation : str
        Why.
    """

    model_url: str = ""
    explanation: str = ""


def listen(host: str, port: int) -> socket.socket:
    """Bind the socket that requests come in by; port 0 takes a free one.

    Raises
    ------
    CascadeError
        The address cannot be had.
    """
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise CascadeError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): choose another --axon-port or --axon-host"
        ) from error


def make_axon(wallet: Any, *, port: int, external_ip: str | None, external_port: int | None = None) -> Axon:
    """Make an axon for a port that `listen` has bound.

    The axon's own way to start binds to every address of the machine and keeps a thread busy; here its server is given
    a socket instead, see `natix_cascade.serve.miner.run`.

    Parameters
    ----------
    wallet : bittensor.Wallet
        With the hotkey that signs.
    port : int
        That is listened on.
    external_ip, external_port : str or None, int or None
        What validators are told; without an ip, bittensor asks public services for it.
    """
    parser = argparse.ArgumentParser(add_help=False)
    Axon.add_args(parser)
    config = Config(parser, args=["--axon.port", str(port)])  # never this program's own command line
    try:
        axon = Axon(wallet=wallet, config=config, external_ip=external_ip, external_port=external_port)
    except AssertionError as error:
        raise CascadeError(f"the axon does not take these ports: {error}") from error
    axon.fast_config.timeout_graceful_shutdown = _DRAIN_S
    axon.fast_config.timeout_keep_alive = _KEEP_ALIVE_S
    return axon


def attach(axon: Axon, judge: Judge, door: Door, *, model_url: str = "") -> None:
    """Attach both requests of the subnet.

    Parameters
    ----------
    axon : bittensor.Axon
    judge : Judge
        Who answers.
    door : Door
        Who may ask.
    model_url : str
        The public repository with the model's card.
    """
    replays = Replays()
    for kind in (ImageSynapse, ExtendedImageSynapse):
        _attach(axon, kind, judge, door, replays, model_url=model_url)


def _attach(
    axon: Axon, kind: type[ImageSynapse], judge: Judge, door: Door, replays: Replays, *, model_url: str
) -> None:
    async def forward(synapse: Any) -> Any:
        reply = await judge.answer(synapse.image)
        synapse.prediction = reply.prediction
        if isinstance(synapse, ExtendedImageSynapse):
            synapse.model_url, synapse.explanation = model_url, reply.explanation
        return synapse

    async def blacklist(synapse: Any) -> Any:
        why = door.refusal(_hotkey(synapse))
        if why is None:
            return False, "welcome"
        judge.tally.refused += 1
        _log.info("refused a %s: %s", kind.__name__, why)
        return True, why

    async def priority(synapse: Any) -> Any:
        return door.priority(_hotkey(synapse))

    async def verify(synapse: Any) -> Any:
        # bittensor 9.12.2 checks a signature only where there is one: without this, anybody is anyone
        asks = synapse.dendrite
        if not getattr(asks, "signature", None):
            raise CascadeError("the request is not signed")
        sender = f"{asks.hotkey}:{asks.uuid}"
        if asks.nonce is not None and replays.known(sender, asks.nonce):
            raise CascadeError("the request was answered before, or is too old")
        axon.nonces.pop(sender, None)  # order does not matter; age and signature do
        await axon.default_verify(synapse)
        replays.remember(sender, asks.nonce)

    # the axon compares these, and makes the request's schema of them
    forward.__annotations__ = {"synapse": kind, "return": kind}
    blacklist.__annotations__ = {"synapse": kind, "return": Tuple[bool, str]}  # noqa: UP006
    priority.__annotations__ = {"synapse": kind, "return": float}
    verify.__annotations__ = {"synapse": kind, "return": None}
    axon.attach(forward_fn=forward, blacklist_fn=blacklist, priority_fn=priority, verify_fn=verify)


def _hotkey(synapse: Any) -> str | None:
    """Who asks; None where the request does not say."""
    found = getattr(getattr(synapse, "dendrite", None), "hotkey", None)
    return found if isinstance(found, str) else None
