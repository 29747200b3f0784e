"""Finding cascades, cards and policies: by shipped name or by file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from natix_cascade.errors import SpecError
from natix_cascade.files import write_whole
from natix_cascade.spec.base import Spec
from natix_cascade.spec.build import build, plain
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.cascade import CascadeSpec
from natix_cascade.spec.files import read_spec
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import ResolvedCascade, resolve

__all__ = [
    "Bundle",
    "CardFile",
    "bundle",
    "find_cascade",
    "known_cards",
    "load_cards",
    "load_cascade",
    "load_policy",
    "read_sources",
    "shipped_cascades",
    "write_json_schema",
]

_HERE = Path(__file__).parent
CATALOGUE, CASCADES, POLICIES = _HERE / "catalogue", _HERE / "cascades", _HERE / "policies"
_BUNDLE = _HERE / "bundle.json"
WEIGHTS = _HERE.parent / "models" / "weights"
"""Folder of the shipped weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(Spec):
    """All shipped cascades, cards and policies in one validated object."""

    cascades: dict[str, CascadeSpec]
    cards: dict[str, ModelCard]
    policies: dict[str, Policy]


@dataclass(frozen=True, slots=True)
class CardFile:
    """A card and the file of its weights."""

    card: ModelCard
    weights: Path


def read_sources() -> Bundle:
    """Read and validate the shipped YAML and JSON files; `bundle` holds the same, ready-made."""
    cards = [read_spec(path, ModelCard) for path in sorted(CATALOGUE.glob("*.yaml"))]
    cascades = [read_spec(path, CascadeSpec) for path in sorted(CASCADES.glob("*.yaml"))]
    policies = [read_spec(path, Policy) for path in sorted(POLICIES.glob("*.json"))]
    return Bundle(
        cascades={item.name: item for item in cascades},
        cards={item.name: item for item in cards},
        policies={item.name: item for item in policies},
    )


def write_bundle() -> Path:
    """Write the validated form of the shipped files; run after one of them changed."""
    text = json.dumps(plain(read_sources()), separators=(",", ":"), sort_keys=True)
    write_whole(_BUNDLE, f"{text}\n".encode())
    bundle.cache_clear()
    return _BUNDLE


@cache
def bundle() -> Bundle:
    """Everything shipped; read from the sources where the bundle has not been written (a fresh checkout)."""
    if not _BUNDLE.is_file():
        return read_sources()
    return build(Bundle, json.loads(_BUNDLE.read_text("utf-8")))


def shipped_cascades() -> tuple[str, ...]:
    """Names of the shipped cascades."""
    return tuple(bundle().cascades)


def load_cascade(
    cascade: str | Path | CascadeSpec = "embedded",
    *,
    policy: str | Path | Policy | None = None,
    cards: str | Path | None = None,
) -> tuple[ResolvedCascade, dict[str, Path]]:
    """Load a cascade with its policy.

    Parameters
    ----------
    cascade : str, Path or CascadeSpec
        A shipped name, or a YAML or JSON file.
    policy : str, Path, Policy or None
        A shipped name or a file; None takes the one that the cascade names, and ``"none"`` takes no policy.
    cards : str, Path or None
        A folder of cards (YAML); default: ``cards/`` beside the cascade's file. Shipped cards are always known.

    Returns
    -------
    cascade : ResolvedCascade
        Ready for the runner and for `decide`.
    weights : dict
        Model name to file of weights.

    Raises
    ------
    SpecError
        Something is missing or wrong; the text says what and where.
    """
    spec, folder = find_cascade(cascade)
    own = Path(cards) if cards is not None else folder / "cards" if folder is not None else None
    known = known_cards(own if cards is not None or (own is not None and own.is_dir()) else None)
    chosen: Policy | None
    if isinstance(policy, Policy):
        chosen = policy
    else:
        wanted = policy if policy is not None else spec.policy
        chosen = None if wanted is None or str(wanted) == "none" else load_policy(wanted, folder=folder)
    resolved = resolve(spec, {name: item.card for name, item in known.items()}, chosen)
    return resolved, {name: known[name].weights for name in resolved.models}


def known_cards(folder: Path | None = None) -> dict[str, CardFile]:
    """The shipped cards, and those of a folder, which may replace shipped ones of the same name."""
    known = {name: CardFile(card, WEIGHTS / card.weights.file) for name, card in bundle().cards.items()}
    if folder is None:
        return known
    if not folder.is_dir():
        raise SpecError(f"no folder of cards at {folder}; give one that holds *.yaml cards")
    return known | load_cards(folder)


def load_cards(folder: Path) -> dict[str, CardFile]:
    """Read all cards of a folder; weights are relative to each card's file."""
    found: dict[str, CardFile] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.json")]):
        card = read_spec(path, ModelCard)
        if card.name in found:
            raise SpecError(f"{path}: name: another card in this folder is named {card.name!r}; names must differ")
        found[card.name] = CardFile(card, path.parent / card.weights.file)
    return found


def load_policy(policy: str | Path, *, folder: Path | None = None) -> Policy:
    """Load a policy by shipped name or by file (also relative to `folder`)."""
    shipped = bundle().policies.get(str(policy))
    if shipped is not None:
        return shipped
    path = Path(policy)
    if not path.is_file() and folder is not None and (folder / path).is_file():
        path = folder / path
    if not path.is_file():
        raise SpecError(f"no policy {str(policy)!r}: neither a file nor one of {_names(bundle().policies)}")
    return read_spec(path, Policy)


def find_cascade(cascade: str | Path | CascadeSpec) -> tuple[CascadeSpec, Path | None]:
    """Find a cascade by shipped name or file, and the folder of its file; see `load_cascade`."""
    if isinstance(cascade, CascadeSpec):
        return cascade, None
    shipped = bundle().cascades.get(str(cascade))
    if shipped is not None:
        return shipped, None
    path = Path(cascade)
    if not path.is_file():
        raise SpecError(f"no cascade {str(cascade)!r}: neither a file nor one of {_names(bundle().cascades)}")
    return read_spec(path, CascadeSpec), path.parent


def _names(items: dict[str, Any]) -> str:
    return ", ".join(items) or "(none shipped)"


def write_json_schema(folder: Path) -> list[Path]:
    """Write JSON schemas of cards, cascades and policies, for editors."""
    from pydantic import TypeAdapter  # noqa: PLC0415  # slow to import, needed here only

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, name in ((ModelCard, "card"), (CascadeSpec, "cascade"), (Policy, "policy")):
        path = folder / f"{name}.schema.json"
        write_whole(path, (json.dumps(TypeAdapter(kind).json_schema(), indent=2) + "\n").encode())
        written.append(path)
    return written
