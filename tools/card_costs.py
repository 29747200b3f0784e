"""Write what one answer costs into the catalogue's cards, from the tables that were measured on one GPU.

The dollars are the GPU's hour divided by the pictures that it answers in an hour, in full batches, at the input that
the card feeds its model: the most that can be had of it. The multiply-accumulates are those of bench/gpu_macs.py. A
card of the catalogue whose model was not measured has no cost (see `unmeasured`).

After it: ``python -c "from natix_cascade.spec.library import write_bundle; write_bundle()"`` and ``make docs``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from natix_cascade.files import write_whole
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import CATALOGUE, read_sources

__all__ = ["USD_PER_GPU_HOUR", "Costs", "costs", "unmeasured", "with_cost"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
USD_PER_GPU_HOUR = 2.50
"""What an hour of one H100 is taken to cost: an assumption; all dollars here are in proportion to it."""

_OLD = re.compile(r"^cost:.*\n(?:[ \t]+.*\n)*", re.MULTILINE)
_AFTER = re.compile(r"^(?:trained|data|metrics|notes):", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one answer of a model costs.

    Attributes
    ----------
    per_second : float
        Pictures that one GPU answers in a second, in full batches.
    gmacs : float or None
        Multiply-accumulates, in units of 1e9; None where they were not counted.
    """

    per_second: float
    gmacs: float | None

    @property
    def usd(self) -> float:
        """US dollars, by `USD_PER_GPU_HOUR`."""
        return USD_PER_GPU_HOUR / 3600 / self.per_second

    @property
    def line(self) -> str:
        """The line of a card, with three significant digits."""
        gmacs = "" if self.gmacs is None else f", gmacs: {float(f'{self.gmacs:.3g}'):g}"
        return f"cost: {{usd: {self.usd:.2e}{gmacs}}}\n"


def costs(results: Path = RESULTS) -> dict[str, Costs]:
    """By card, of every model of the catalogue that was measured itself."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        from throughput_rates import KIN, LARGE, NAMES, rates  # noqa: PLC0415  # lies among the benchmarks
    finally:
        sys.path.pop(0)
    rows = json.loads((results / "gpu_macs.json").read_text("utf-8"))["rows"]
    gmacs = {NAMES.get(row["model"], row["model"]): row["gmacs"] for row in rows}
    known, cards = rates(results, size=LARGE).models, _listed()
    return {
        name: Costs(per_second=rate.per_second, gmacs=gmacs.get(name))
        for name, rate in sorted(known.items())
        if name in cards and not rate.assumed and name not in KIN
    }


def unmeasured(known: Iterable[str]) -> list[str]:
    """Cards of the catalogue that have no cost."""
    return sorted(_listed().keys() - set(known))


def with_cost(text: str, line: str) -> str:
    """A card's text with this line, or none, in place of its cost; all else as it was."""
    text = _OLD.sub("", text)
    found = _AFTER.search(text)
    at = found.start() if found else len(text)
    return text[:at] + line + text[at:]


def _listed() -> dict[str, ModelCard]:
    """Those of the design's list; the shipped models' costs were measured elsewhere."""
    return {name: card for name, card in read_sources().cards.items() if card.origin}


def main() -> None:
    """Write the cards."""
    known = costs()
    for name in _listed():
        file = CATALOGUE / f"{name}.yaml"
        text = with_cost(file.read_text("utf-8"), known[name].line if name in known else "")
        write_whole(file, text.encode())
    for name, cost in known.items():
        print(f"{name}: {cost.per_second:.4g}/s, {cost.line.strip()}")
    print(f"not measured: {', '.join(unmeasured(known))}")


if __name__ == "__main__":
    main()
