"""Write the figures of bench/results/accuracy.json into the cards of the shipped models, and renew the bundle."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from natix_cascade.files import write_whole
from natix_cascade.spec import library

RESULT = Path(__file__).parent / "results" / "accuracy.json"


def metrics(figures: dict[str, dict[str, dict[str, float]]], name: str) -> dict[str, float]:
    """MCC of one model alone on the test split: as it is, at each level, and the mean of the levels."""
    found = {f"test_mcc_{level}": round(figures[name][level]["mcc"], 3) for level in ("clean", "L0", "L1", "L2", "L3")}
    return found | {"test_mcc_mean": round(figures[name]["mean"]["mcc"], 3)}


def main() -> None:
    """Every card whose model was measured."""
    figures = json.loads(RESULT.read_text("utf-8"))["figures"]
    for path in sorted(library.CATALOGUE.glob("*.yaml")):
        card = yaml.safe_load(path.read_text("utf-8"))
        card["metrics"] = metrics(figures, card["name"])
        write_whole(path, yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110).encode())
        print(f"{card['name']:<12} {card['metrics']}")
    library.write_bundle()


if __name__ == "__main__":
    main()
