"""Write docs/reference/catalogue.md from the cards: the page cannot say anything else than they do."""

from __future__ import annotations

from pathlib import Path

from natix_cascade.files import write_whole
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import bundle
from natix_cascade.spec.task import Ask, Classify, Depth, Detect, Find, Task, Tell, ZeroShot

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "catalogue.md"

_BILLION = 1e9
_HEAD = """# The catalogue: 26 models

Written from the cards in `src/natix_cascade/spec/catalogue` by `make docs`. T: trained, by a project whose outputs
`natix-cascade models link` links in. U: not confirmed by anybody here (identifier, parameters or licence, as the card
says). GB: weights alone, at bf16 / fp8 / int4. `natix-cascade models show NAME` says everything of one.

| # | level | model | identifier | in place of | parameters | GB | served by | licence |
|---|---|---|---|---|---|---|---|---|
"""
_TASKS = """
Left out of the design's list: CoTracker 3 (follows points through a video; one frame is all there is) and Anomaly-OV
(industrial defects). Off the path by default: Qwen3-VL-235B-A22B-Thinking and DeepSeek-R1, which no machine of this
page holds; write a card and put it into a cascade of your own.

## What each is asked, and how its answer becomes a probability

| model | task | P(roadwork) before calibration |
|---|---|---|
"""


def page() -> str:
    """The page's text."""
    cards = sorted((card for card in bundle().cards.values() if card.origin), key=_number)
    rows = "".join(_row(card) for card in cards)
    tasks = "".join(
        f"| {card.name}{f':{role}' if role else ''} | {task.kind} | {_how(task)} |\n"
        for card in cards
        for role, task in (("", card.task), *card.roles.items())
    )
    return _HEAD + rows + _TASKS + tasks


def _number(card: ModelCard) -> int:
    return card.origin.number if card.origin else 0


def _row(card: ModelCard) -> str:
    origin, serving, source = card.origin, card.serving, card.source
    if origin is None or serving is None or source is None:
        raise ValueError(f"{card.name} has no origin, serving or source")
    marks = " T" * card.trained + " U" * bool(origin.unverified)
    memory = " / ".join(f"{serving.memory_gb[p]:g}" if p in serving.memory_gb else "-" for p in ("bf16", "fp8", "int4"))
    why = f" ({origin.replaced_because})" if origin.replaced_because else ""
    count = card.parameters
    size = f"{count / _BILLION:.3g}B" if count >= _BILLION else f"{count / 1e6:.3g}M"
    active = f", {serving.active_parameters / _BILLION:g}B active" if serving.active_parameters else ""
    cells = (
        f"{origin.number}{marks}",
        origin.level,
        f"`{card.name}`",
        source.identifier or "the user's",
        origin.designed_as + why,
        size + active,
        memory,
        ", ".join(serving.servers),
        card.licence + (", gated" if source.gated else ""),
    )
    return f"| {' | '.join(cells)} |\n"


def _how(task: Task) -> str:  # noqa: PLR0911  # one line for each kind
    if isinstance(task, Classify):
        silent = f"; no opinion where the mean luminance is {task.dark_below:g} or more" if task.dark_below else ""
        return f"its own answer{silent}"
    if isinstance(task, Detect):
        seen = "one minus the product over boxes of (1 - weight x score): " + _weights(task.evidence)
        return f"{seen}; {_bounds(task.low, task.high)}"
    if isinstance(task, Find):
        what = "masks" if task.masks else "boxes"
        return f"the same over {what} found by words: {_weights(task.prompts)}; {_bounds(task.low, task.high)}"
    if isinstance(task, Tell):
        return f"the same over {len(task.terms)} terms in the text; {_bounds(task.low, task.high)}"
    if isinstance(task, ZeroShot):
        return f"softmax over {len(task.positive)} sentences for it and {len(task.negative)} against it"
    if isinstance(task, Depth):
        return f"share of the road covered by what stands up from its plane; {_bounds(task.low, task.high)}"
    if isinstance(task, Ask):
        return "log-probabilities of one answer token" + (", after a bounded thought" if task.reasoning else "")
    raise TypeError(f"no words for {type(task).__name__}")


def _bounds(low: float, high: float) -> str:
    return f"from {low:g} (nothing) to {high:g} (certain)"


def _weights(weights: dict[str, float]) -> str:
    return ", ".join(f"{label} {weight:g}" for label, weight in weights.items())


if __name__ == "__main__":
    write_whole(PAGE, page().encode())
