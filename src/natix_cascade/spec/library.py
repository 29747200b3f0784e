"""Finding cascades, cards and policies: by shipped name or by file."""

from __future__ import annotations

import json
import os
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
from natix_cascade.spec.endpoints import Endpoints
from natix_cascade.spec.files import read_spec
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.prompt import PromptSpec
from natix_cascade.spec.resolved import ResolvedCascade, resolve

__all__ = [
    "Bundle",
    "CardFile",
    "bundle",
    "find_cascade",
    "known_cards",
    "load_cards",
    "load_cascade",
    "load_endpoints",
    "load_policy",
    "load_prompt",
    "models_folder",
    "read_sources",
    "shipped_cascades",
    "write_json_schema",
]

_HERE = Path(__file__).parent
CATALOGUE, CASCADES, POLICIES = _HERE / "catalogue", _HERE / "cascades", _HERE / "policies"
PROMPTS = _HERE / "prompts"
_BUNDLE = _HERE / "bundle.json"
WEIGHTS = _HERE.parent / "models" / "weights"
"""Folder of the shipped weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(Spec):
    """All shipped cascades, cards, policies and prompts in one validated object."""

    cascades: dict[str, CascadeSpec]
    cards: dict[str, ModelCard]
    policies: dict[str, Policy]
    prompts: dict[str, PromptSpec]


@dataclass(frozen=True, slots=True)
class CardFile:
    """A card and the file, or folder, of its weights."""

    card: ModelCard
    weights: Path


def read_sources() -> Bundle:
    """Read and validate the shipped YAML and JSON files; `bundle` holds the same, ready-made."""
    cards = [read_spec(path, ModelCard) for path in sorted(CATALOGUE.glob("*.yaml"))]
    cascades = [read_spec(path, CascadeSpec) for path in sorted(CASCADES.glob("*.yaml"))]
    policies = [read_spec(path, Policy) for path in sorted(POLICIES.glob("*.json"))]
    prompts = [read_spec(path, PromptSpec) for path in sorted(PROMPTS.glob("*.yaml"))]
    return Bundle(
        cascades={item.name: item for item in cascades},
        cards={item.name: item for item in cards},
        policies={item.name: item for item in policies},
        prompts={item.name: item for item in prompts},
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
    models: Path | None = None,
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
    models : Path or None
        Where fetched and linked weights lie; default: `models_folder`.

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
    known = known_cards(own if cards is not None or (own is not None and own.is_dir()) else None, models=models)
    chosen: Policy | None
    if isinstance(policy, Policy):
        chosen = policy
    else:
        wanted = policy if policy is not None else spec.policy
        chosen = None if wanted is None or str(wanted) == "none" else load_policy(wanted, folder=folder)
    known |= _roles(known)
    resolved = resolve(spec, {name: item.card for name, item in known.items()}, chosen)
    return resolved, {name: known[name].weights for name in resolved.models}


def known_cards(folder: Path | None = None, *, models: Path | None = None) -> dict[str, CardFile]:
    """The shipped cards, and those of a folder, which may replace shipped ones of the same name."""
    known = {name: CardFile(card, _place(card, WEIGHTS, models)) for name, card in bundle().cards.items()}
    if folder is None:
        return known
    if not folder.is_dir():
        raise SpecError(f"no folder of cards at {folder}; give one that holds *.yaml cards")
    return known | load_cards(folder, models=models)


def load_cards(folder: Path, *, models: Path | None = None) -> dict[str, CardFile]:
    """Read all cards of a folder; weights are relative to each card's file."""
    found: dict[str, CardFile] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.json")]):
        card = read_spec(path, ModelCard)
        if card.name in found:
            raise SpecError(f"{path}: name: another card in this folder is named {card.name!r}; names must differ")
        found[card.name] = CardFile(card, _place(card, path.parent, models))
    return found


def models_folder() -> Path:
    """Where fetched and linked weights lie: ``NATIX_CASCADE_MODELS``, or ``models`` in the working folder."""
    return Path(os.environ.get("NATIX_CASCADE_MODELS") or "models")


def _place(card: ModelCard, folder: Path, models: Path | None) -> Path:
    """Weights that belong to the card lie beside it; what a training project left comes before what was fetched."""
    if card.weights is not None:
        return folder / card.weights.file
    link = card.source.link if card.source is not None else None
    home = models or models_folder()
    return home / "custom" / card.name if link is not None and link.kind == "checkpoint" else home / card.name


def _roles(known: dict[str, CardFile]) -> dict[str, CardFile]:
    """What cascades call ``card:role``."""
    return {
        f"{name}:{role}": CardFile(item.card.in_role(role), item.weights)
        for name, item in known.items()
        for role in item.card.roles
    }


def load_endpoints(endpoints: str | Path | Endpoints | None = None) -> Endpoints | None:
    """Find where the servers of remote models listen.

    Parameters
    ----------
    endpoints : str, Path, Endpoints or None
        A YAML or JSON file; None takes the one that ``NATIX_CASCADE_ENDPOINTS`` names, if it is set.

    Raises
    ------
    SpecError
        The file is missing or wrong.
    """
    if isinstance(endpoints, Endpoints):
        return endpoints
    path = endpoints or os.environ.get("NATIX_CASCADE_ENDPOINTS")
    return read_spec(Path(path), Endpoints) if path else None


def load_prompt(prompt: str | Path) -> PromptSpec:
    """Load a prompt by shipped name or by file."""
    shipped = bundle().prompts.get(str(prompt))
    if shipped is not None:
        return shipped
    path = Path(prompt)
    if not path.is_file():
        raise SpecError(f"no prompt {str(prompt)!r}: neither a file nor one of {_names(bundle().prompts)}")
    return read_spec(path, PromptSpec)


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
    """Write JSON schemas of all kinds of files, for editors."""
    from pydantic import TypeAdapter  # noqa: PLC0415  # slow to import, needed here only

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    kinds = (ModelCard, "card"), (CascadeSpec, "cascade"), (Policy, "policy"), (PromptSpec, "prompt")
    for kind, name in (*kinds, (Endpoints, "endpoints")):
        path = folder / f"{name}.schema.json"
        write_whole(path, (json.dumps(TypeAdapter(kind).json_schema(), indent=2) + "\n").encode())
        written.append(path)
    return written
