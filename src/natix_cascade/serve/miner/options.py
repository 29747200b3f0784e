"""Everything that can be set of a miner."""

from __future__ import annotations

from dataclasses import dataclass, field

from natix_cascade.serve.miner.judge import BUDGET_S

__all__ = ["MinerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MinerOptions:
    """A miner.

    Attributes
    ----------
    service_url : str or None
        The service that is asked; None: the embedded cascade in the miner's own process.
    service_key : str or None
        Its API key.
    cascade : str
        The cascade that answers when the service does not.
    model_url : str
        The public repository with the model's card.
    axon_host, axon_port : str, int
        Where requests come in; port 0 takes a free one.
    external_ip, external_port : str or None, int or None
        What validators are told; without an ip, bittensor asks public services for it.
    allow_unregistered, permit, min_stake
        Who may ask; see `natix_cascade.serve.miner.door.Door`.
    budget_s : float
        Seconds until a reply leaves.
    sync_s : float
        Seconds between two readings of the chain.
    """

    service_url: str | None = "http://127.0.0.1:8000"
    service_key: str | None = field(default=None, repr=False)
    cascade: str = "embedded"
    model_url: str = ""
    axon_host: str = "0.0.0.0"  # noqa: S104  # validators come from outside; offline it is loopback
    axon_port: int = 8091
    external_ip: str | None = None
    external_port: int | None = None
    allow_unregistered: bool = False
    permit: bool = True
    min_stake: float = 0.0
    budget_s: float = BUDGET_S
    sync_s: float = 600.0
