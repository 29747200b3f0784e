"""Where the servers of vision-language models listen: data of one machine, apart from cards and cascades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Len

from natix_cascade.errors import SecretError, SpecError
from natix_cascade.secrets.reference import SecretRef
from natix_cascade.spec.base import Spec
from natix_cascade.spec.card import ModelCard

__all__ = ["Endpoint", "Endpoints", "servers_of"]


class _WrongEndpointError(SpecError, ValueError):
    """A ValueError too, so that the validation of a file finds its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Spec):
    """One server of one model.

    Attributes
    ----------
    url : str
        Up to and with ``/v1``.
    model : str or None
        The name that the server knows it by; default: what the card says.
    api_key : str or None
        Where the key is kept, by reference: ``vault:PATH#KEY``, ``file:PATH`` or ``env:NAME``; never the key itself.
    api_key_env : str or None
        Name of the environment variable that holds the key: the same as ``env:NAME``.
    timeout_s : float
        Longest wait for one answer.
    concurrency : int
        Most pictures under way at this server.

    Raises
    ------
    SpecError
        Both keys are given, or one is no reference; what was given is not repeated.
    """

    url: Annotated[str, Len(1)]
    model: str | None = None
    api_key: str | None = None
    api_key_env: str | None = None
    timeout_s: Annotated[float, Gt(0)] = 60.0
    concurrency: Annotated[int, Gt(0)] = 64

    def __post_init__(self) -> None:
        if self.api_key is not None and self.api_key_env is not None:
            raise _WrongEndpointError("api_key and api_key_env are both given; write one of them")
        try:
            self.key_ref()
        except SecretError as error:
            problem = str(error)
        else:
            return
        raise _WrongEndpointError(f"api_key{'_env' if self.api_key is None else ''}: {problem}")

    def key_ref(self) -> SecretRef | None:
        """Where the key is kept; None: the server wants none."""
        if self.api_key_env is not None:
            return SecretRef("env", self.api_key_env)
        return None if self.api_key is None else SecretRef.parse(self.api_key)


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
