"""The chain: who is registered, and where this miner listens. The real one is not exercised by any test here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from natix_cascade.errors import CascadeError
from natix_cascade.serve.miner.door import Neuron, Roster

__all__ = ["Chain", "StaticChain", "SubtensorChain", "roster_of"]


class Chain(Protocol):
    """What a miner needs of the chain."""

    def roster(self) -> Roster:
        """Read the registered hotkeys; blocks for seconds, and may raise whatever the network raises."""

    def publish(self, axon: Any) -> None:
        """Make the axon's address known."""

    def close(self) -> None:
        """Leave."""


@dataclass(slots=True)
class StaticChain:
    """No chain: the hotkeys are given, nothing is published.

    Attributes
    ----------
    neurons : tuple of Neuron
        Who is registered.
    published : list
        Axons that were to be made known.
    """

    neurons: tuple[Neuron, ...] = ()
    published: list[Any] = field(default_factory=list)

    def roster(self) -> Roster:
        """Return the given hotkeys."""
        return Roster.of(self.neurons)

    def publish(self, axon: Any) -> None:
        """Remember it."""
        self.published.append(axon)

    def close(self) -> None:
        """Nothing to leave."""


def roster_of(metagraph: Any) -> Roster:
    """Read a bittensor metagraph: ``hotkeys``, ``S`` (stake in TAO) and ``validator_permit``, of equal length."""
    hotkeys, stakes, permits = metagraph.hotkeys, metagraph.S, metagraph.validator_permit
    return Roster.of(
        Neuron(str(hotkey), float(stake), bool(permit))
        for hotkey, stake, permit in zip(hotkeys, stakes, permits, strict=True)
    )


class SubtensorChain:
    """The chain through bittensor.

    Parameters
    ----------
    network : str
        ``finney``, ``test``, or an address as ``ws://...``.
    netuid : int
        The subnet.
    """

    def __init__(self, network: str, netuid: int) -> None:
        from bittensor import Subtensor  # noqa: PLC0415  # the miner's environment only

        self._netuid = netuid
        self._subtensor = Subtensor(network=network)

    def roster(self) -> Roster:
        """Read the subnet's metagraph."""
        return roster_of(self._subtensor.metagraph(self._netuid))

    def publish(self, axon: Any) -> None:
        """Write the axon's ip and port to the chain; costs an extrinsic."""
        if not self._subtensor.serve_axon(netuid=self._netuid, axon=axon):
            raise CascadeError("the chain did not take this axon's address: is the hotkey registered on the subnet?")

    def close(self) -> None:
        """Close the connection."""
        self._subtensor.close()
