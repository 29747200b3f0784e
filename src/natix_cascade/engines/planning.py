"""Where models lie to the servers that serve them: one server for a base model and all adapters on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from natix_cascade.engines.facts import ENCODER_DATA_PARALLEL, REMOTE_CODE, TITLES
from natix_cascade.engines.faults import faults
from natix_cascade.engines.server import Engine, Lora, ServerPlan, Weights
from natix_cascade.engines.wishes import Placed, ServerOptions
from natix_cascade.errors import PlanError
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.endpoints import Endpoint, Endpoints
from natix_cascade.spec.task import Ask

__all__ = ["endpoints", "remarks_on", "servers"]


def servers(
    cards: Mapping[str, ModelCard], placed: Sequence[Placed], options: ServerOptions | None = None
) -> list[ServerPlan]:
    """One server for each base model at each place, with all adapters on it.

    Parameters
    ----------
    cards : mapping
        Card by name.
    placed : sequence of Placed
        Where models lie; those that no server is asked for (they run in the cascade's own process) are passed over.
    options : ServerOptions or None
        How servers are to be.

    Returns
    -------
    list of ServerPlan
        Those that start asleep first, so that the memory that they wake in is free while they load; then by port.

    Raises
    ------
    PlanError
        A card is missing, or an engine cannot serve what is wished; one line for each.
    """
    options = options or ServerOptions()
    groups: dict[tuple[object, ...], list[tuple[ModelCard, Placed]]] = {}
    for item in placed:
        card = cards.get(item.model)
        if card is None:
            raise PlanError(f"model {item.model!r} is placed, but there is no card of it; known: {', '.join(cards)}")
        if isinstance(card.task, Ask):
            groups.setdefault(_place(card, item, options), []).append((card, item))
    ordered = sorted(groups.values(), key=lambda group: not group[0][1].asleep)
    names: set[str] = set()
    made = [_server(group, options, options.first_port + n, names) for n, group in enumerate(ordered)]
    problems = [f"{plan.name} ({TITLES[plan.engine]}): {fault}" for plan in made for fault in faults(plan)]
    problems += _crowded(made)
    if problems:
        raise PlanError("\n".join(problems))
    return made


def remarks_on(
    plans: Sequence[ServerPlan], wanted: Iterable[str], cards: Mapping[str, ModelCard], options: ServerOptions
) -> list[str]:
    """What to know about servers that can be started.

    Parameters
    ----------
    plans : sequence of ServerPlan
        As `servers` made them.
    wanted : iterable of str
        Models of the cascade.
    cards : mapping
        Card by name.
    options : ServerOptions
        What was wished.
    """
    served = {card for plan in plans for card in plan.cards}
    left_out = [name for name in wanted if isinstance(cards[name].task, Ask) and name not in served]
    loose = [plan.name for plan in plans if plan.revision is None and options.models is None]
    code = [plan.name for plan in plans if plan.architecture.startswith(REMOTE_CODE) and not plan.trust_remote_code]
    without = [plan.name for plan in plans if plan.engine.startswith("lmdeploy")]
    found = []
    if left_out:
        found.append(f"left out, and so failed members of their levels: {', '.join(left_out)}")
    if code:
        found.append(f"weights that bring code of their own, not allowed to run it: {', '.join(code)}")
    if loose:
        found.append(f"no commit is pinned, so the hub's newest weights are served: {', '.join(loose)}")
    if without and (options.lmcache or options.kv_offload_gb is not None):
        found.append(f"LMDeploy has no LMCache and no offloading: {', '.join(without)}")
    return found


def _crowded(plans: Sequence[ServerPlan]) -> list[str]:
    """GPUs on which more is awake than there is memory."""
    shares: dict[int, float] = {}
    for plan in plans:
        for gpu in plan.gpus if not plan.asleep else ():
            shares[gpu] = shares.get(gpu, 0.0) + plan.memory_fraction
    return [
        f"GPU {gpu}: servers awake together want {share:.0%} of its memory; lower their shares or let one sleep"
        for gpu, share in sorted(shares.items())
        if share > 1 + 1e-9
    ]


def endpoints(plans: Iterable[ServerPlan], *, api_key_env: str | None = None) -> Endpoints:
    """Where the cascade finds these servers.

    Parameters
    ----------
    plans : iterable of ServerPlan
        All servers; several for one card are its replicas.
    api_key_env : str or None
        Environment variable with the key.
    """
    found: dict[str, list[Endpoint]] = {}
    for plan in plans:
        share = max(1, plan.max_num_seqs // max(1, len(plan.cards)))
        for card, name in plan.cards.items():
            found.setdefault(card, []).append(
                Endpoint(url=plan.url, model=name, api_key_env=api_key_env, concurrency=share)
            )
    if not found:
        raise PlanError("no model of this placement is asked over a server: there are no endpoints to write")
    return Endpoints(models={card: tuple(those) for card, those in found.items()})


def _place(card: ModelCard, item: Placed, options: ServerOptions) -> tuple[object, ...]:
    """What two models must share to be on one server."""
    model, revision, weights = _weights(card, options)
    return (_engine(card, options), model, revision, weights, item.precision, item.gpus, item.asleep)


def _engine(card: ModelCard, options: ServerOptions) -> Engine:
    able = [one for one in (card.serving.servers if card.serving is not None else ()) if one in TITLES]
    wanted = options.engines.get(card.name)
    if wanted is not None:
        return wanted
    if options.engine is not None and (options.engine in able or not able):
        return options.engine
    known: list[Engine] = [engine for engine in TITLES if engine in able]
    if not known:
        raise PlanError(f"model {card.name!r}: its card names no engine that serves it (serving.servers); add one")
    return known[0]


def _weights(card: ModelCard, options: ServerOptions) -> tuple[str, str | None, Weights]:
    """Model, revision and kind of the weights that a server loads."""
    checkpoint = options.checkpoints.get(card.name)
    if checkpoint is not None:
        return checkpoint.model, checkpoint.revision, checkpoint.weights
    source = card.source
    identifier = source.identifier if source is not None else ""
    kind: Weights = "quantized" if re.search(r"-(FP8|AWQ|GPTQ|INT4)\b", identifier, re.IGNORECASE) else "plain"
    if options.models is not None:
        return f"{options.models}/{card.name}", None, kind
    if not identifier:
        raise PlanError(f"model {card.name!r}: its card has no source.identifier; name a folder of models")
    return identifier, source.revision if source is not None else None, kind


def _adapter(card: ModelCard, options: ServerOptions) -> Lora | None:
    link = card.source.link if card.source is not None else None
    if options.adapters is None or link is None or link.kind != "adapter":
        return None
    return Lora(name=_asked_as(card), path=f"{options.adapters}/{card.name}")


def _server(group: list[tuple[ModelCard, Placed]], options: ServerOptions, port: int, names: set[str]) -> ServerPlan:
    cards = [card for card, _ in group]
    first, item = group[0]
    engine = _engine(first, options)
    model, revision, weights = _weights(first, options)
    adapters = {card.name: adapter for card in cards if (adapter := _adapter(card, options)) is not None}
    plain = [card for card in cards if card.name not in adapters]
    served = _asked_as(plain[0]) if plain else _base_name(model, cards)
    lead = f"{served}:" if engine == "sglang" else ""  # SGLang is asked for base:adapter
    architecture = first.serving.architecture if first.serving is not None else ""
    several = len(item.gpus) > 1
    lmdeploy = engine.startswith("lmdeploy")
    experts = first.serving is not None and first.serving.active_parameters is not None
    memory = first.serving.memory_gb.get(item.precision, 0.0) if first.serving is not None else 0.0
    return ServerPlan(
        name=_unique(_slug(first.name if len(cards) == 1 else model.rsplit("/", 1)[-1]), names),
        engine=engine,
        model=model,
        revision=revision,
        cards={c.name: f"{lead}{adapters[c.name].name}" if c.name in adapters else served for c in cards},
        served=served,
        loras=tuple(adapters.values()),
        max_lora_rank=options.max_lora_rank,
        architecture=architecture,
        heads=first.serving.heads if first.serving is not None else 0,
        gpus=item.gpus,
        expert_parallel=options.expert_parallel and experts and several,
        precision=item.precision,
        weights=weights,
        kv_cache="auto" if engine == "lmdeploy_turbomind" else options.kv_cache,
        memory_fraction=max(one.memory_fraction for _, one in group),
        weights_gb=memory / len(item.gpus),
        gpu_gb=options.gpu_gb,
        max_model_len=options.max_model_len,
        max_num_seqs=options.max_num_seqs,
        max_batched_tokens=options.max_batched_tokens,
        prefix_caching=options.prefix_caching,
        pictures=options.pictures,
        encoder_data_parallel=(
            options.encoder_data_parallel and several and architecture.startswith(ENCODER_DATA_PARALLEL[engine])
        ),
        lmcache=options.lmcache and not lmdeploy,
        kv_offload_gb=None if lmdeploy else options.kv_offload_gb,
        sleep=options.sleep or item.asleep,
        asleep=item.asleep,
        api_processes=1 if lmdeploy else options.api_processes,
        trust_remote_code=options.trust_remote_code and architecture.startswith(REMOTE_CODE),
        port=port,
    )


def _asked_as(card: ModelCard) -> str:
    """The name that the cascade asks for."""
    return (card.task.served_as if isinstance(card.task, Ask) else None) or card.name


def _base_name(model: str, cards: list[ModelCard]) -> str:
    """Name of a base model that only its adapters are asked for."""
    name = model.rsplit("/", 1)[-1]
    return f"{name}-base" if name in {_asked_as(card) for card in cards} else name


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "server"


def _unique(name: str, names: set[str]) -> str:
    found, number = name, 2
    while found in names:
        found, number = f"{name}-{number}", number + 1
    names.add(found)
    return found
