"""How model cards are shown to people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natix_cascade.models.here import WeightsHere
    from natix_cascade.spec.card import ModelCard
    from natix_cascade.spec.library import CardFile

__all__ = ["as_yaml", "in_order", "level_of", "lines"]

_SHORT = {"onnxruntime": "ort", "lmdeploy_turbomind": "turbomind"}
_NAME = 26


def level_of(card: ModelCard) -> str:
    """The first level that a model stands in; empty for models of no catalogue."""
    return card.origin.level.split(",")[0].strip()[:1] if card.origin is not None else ""


def in_order(items: list[CardFile]) -> list[CardFile]:
    """By level and number; models of no catalogue first."""
    return sorted(
        items,
        key=lambda item: (
            level_of(item.card),
            item.card.origin.number if item.card.origin is not None else 0,
            item.card.name,
        ),
    )


def lines(items: list[CardFile], here: dict[str, WeightsHere]) -> Iterator[str]:
    """Two lines a model, 100 columns at most, under a heading for each level."""
    level: str | None = None
    for item in in_order(items):
        if level_of(item.card) != level:
            if level is not None:
                yield ""
            level = level_of(item.card)
            yield f"Level {level}" if level else "Shipped, or of your own"
        yield from _model(item.card, here[item.card.name])
    yield ""
    ready = sum(state.ready for state in here.values())
    yield f"{len(items)} model{'' if len(items) == 1 else 's'}, {ready} here. GB: weights at bf16/fp8/int4."
    yield "T: trained by the project or its user. G: gated, its licence must be accepted. U: partly unverified."


def _model(card: ModelCard, here: WeightsHere) -> Iterator[str]:
    origin, source, serving = card.origin, card.source, card.serving
    number = f"{origin.number:>3}" if origin is not None else "   "
    marks = "".join(
        mark if holds else " "
        for mark, holds in (
            ("T", card.trained),
            ("G", source is not None and source.gated),
            ("U", origin is not None and bool(origin.unverified)),
        )
    )
    if serving is not None:
        memory = "/".join(
            f"{serving.memory_gb[kind]:g}" for kind in ("bf16", "fp8", "int4") if kind in serving.memory_gb
        )
        servers = " ".join(_SHORT.get(server, server) for server in serving.servers)
    else:
        memory, servers = (f"{card.weights.bytes / 1e9:.2g}" if card.weights is not None else ""), card.engine
    yield (
        f"{number} {_cut(card.name, _NAME):<{_NAME}} {marks} {_count(card.parameters):>6} {f'{memory} GB':>15}  "
        f"{servers:<22} {_cut(str(here), 20)}".rstrip()
    )
    identifier = source.identifier if source is not None else ""
    place = f"[{origin.level}] {origin.role}" if origin is not None else card.title
    yield f"      {_cut(place, 33):<33}  {_cut(identifier or '-', 44):<44} {_cut(card.licence, 14)}".rstrip()


def as_yaml(card: ModelCard, here: WeightsHere) -> str:
    """All of a card as YAML, with what is unverified marked in comments above it."""
    import yaml

    from natix_cascade.spec.build import plain

    data: dict[str, Any] = plain(card)
    unverified = card.origin.unverified if card.origin is not None else ()
    remarks = [f"# weights: {here}"]
    if card.origin is not None and card.origin.designed_as:
        reason = card.origin.replaced_because
        remarks.append(
            f"# the design called it {card.origin.designed_as}" + (f"; replaced: {reason}" if reason else "")
        )
    out = []
    for line in yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100).rstrip().splitlines():
        key = line.split(":")[0]
        if key.strip() in unverified and key in {"licence", "parameters", "  identifier"}:
            out.append(f"{' ' * (len(key) - len(key.strip()))}# unverified: nobody has confirmed the {key.strip()}")
        out.append(line)
    return "\n".join(remarks + out)


def _count(number: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number or "")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
