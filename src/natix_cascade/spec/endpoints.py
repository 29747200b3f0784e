"""Where the servers of vision-language models listen: data of one machine, apart from cards and cascades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Len

from natix_cascade.spec.base import Spec
from natix_cascade.spec.card import ModelCard

__all__ = ["Endpoint", "Endpoints", "servers_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Spec):
    """One server of one model.

    Attributes
    ----------
    url : str
        Up to and with ``/v1``.
    model : str or None
        The name that the server knows it by; default: what the card says.
    api_key_env : str or None
        Name of the environment variable that holds the key.
    timeout_s : float
        Longest wait for one answer.
    concurrency : int
        Most pictures under way at this server.
    """

    url: Annotated[str, Len(1)]
    model: str | None = None
    api_key_env: str | None = None
    timeout_s: Annotated[float, Gt(0)] = 60.0
    concurrency: Annotated[int, Gt(0)] = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints(Spec):
    """Servers by model; several for one model are its replicas.

    Attributes
    ----------
    models : dict
        Card's name to its servers.
    """

    models: dict[str, Annotated[tuple[Endpoint, ...], Len(1)]]


def servers_of(card: ModelCard, endpoints: Endpoints | None) -> tuple[Endpoint, ...]:
    """The servers that answer for a card, or for the card that its role belongs to; none where none is named."""
    known = endpoints.models if endpoints is not None else {}
    return known.get(card.name) or known.get(card.name.partition(":")[0]) or ()
