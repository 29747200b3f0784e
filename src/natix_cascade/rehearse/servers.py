"""Which server serves which vision-language models of a rehearsal, and the endpoints file that says so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from natix_cascade.rehearse.server_process import ServerProcess, free_port
from natix_cascade.rehearse.stage import SERVED_BY_VLLM, Stage
from natix_cascade.rehearse.vllm_server import chat_server, vllm_server
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.endpoints import Endpoint, Endpoints

__all__ = ["Casting", "cast_servers", "serving"]


@dataclass(frozen=True, slots=True)
class Casting:
    """Who serves whom.

    Attributes
    ----------
    vllm : dict
        Served name to its adapter's folder, or None for the base model itself: on one vLLM server.
    chat : dict
        Served name to the folder of its model: on one server of `natix_cascade.rehearse.chat_server`.
    """

    vllm: dict[str, Path | None] = field(default_factory=dict)
    chat: dict[str, Path] = field(default_factory=dict)


def cast_servers(cards: Mapping[str, ModelCard], stage: Stage, *, with_vllm: bool) -> Casting:
    """Share the remote models out.

    Parameters
    ----------
    cards : dict
        Model name to card.
    stage : Stage
        Where the tiny models lie.
    with_vllm : bool
        Whether a real vLLM is to be started; without one the chat server takes everything.
    """
    casting = Casting()
    for name, card in cards.items():
        if not card.is_remote or card.serving is None:
            continue
        architecture = card.serving.architecture
        if with_vllm and architecture == SERVED_BY_VLLM:
            casting.vllm[name] = stage.adapters.get(name)
        else:
            casting.chat[name] = stage.vlms[architecture]
    return casting


@dataclass(slots=True)
class Running:
    """The servers that are up.

    Attributes
    ----------
    endpoints : Endpoints
        Where they listen.
    vllm : ServerProcess or None
        The real one, which an outage kills.
    """

    endpoints: Endpoints
    vllm: ServerProcess | None = None


@contextlib.contextmanager
def serving(
    casting: Casting,
    stage: Stage,
    logs: Path,
    *,
    vllm: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Running]:
    """Start the servers of a casting and stop them afterwards.

    Parameters
    ----------
    casting : Casting
        Who serves whom.
    stage : Stage
        Where the tiny models lie.
    logs : Path
        Folder for the servers' own words.
    vllm : Path or None
        The ``vllm`` program.
    tell : callable
        Told what is started.

    Raises
    ------
    ModelError
        A server does not start; the text quotes its last words.
    """
    logs.mkdir(parents=True, exist_ok=True)
    urls: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        real: ServerProcess | None = None
        if casting.vllm and vllm is not None:
            tell(f"vLLM with {', '.join(casting.vllm)}: the first start takes minutes on a small machine")
            real = stack.enter_context(
                vllm_server(
                    vllm,
                    stage.vlms[SERVED_BY_VLLM],
                    names=[name for name, adapter in casting.vllm.items() if adapter is None] or ["base"],
                    lora={name: adapter for name, adapter in casting.vllm.items() if adapter is not None},
                    port=free_port(),
                    log=logs / "vllm.log",
                )
            )
            urls |= dict.fromkeys(casting.vllm, real.url)
        if casting.chat:
            tell(f"a chat server with {', '.join(casting.chat)}")
            chat = stack.enter_context(chat_server(casting.chat, port=free_port(), log=logs / "chat.log"))
            urls |= dict.fromkeys(casting.chat, chat.url)
        endpoints = Endpoints(
            models={
                name: (Endpoint(url=url, model=name, timeout_s=180.0, concurrency=4),) for name, url in urls.items()
            }
        )
        yield Running(endpoints, real)
