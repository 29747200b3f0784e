"""Linking what a training project left behind into the models folder, instead of copying it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from natix_cascade.errors import CascadeError, ModelError
from natix_cascade.files import write_whole
from natix_cascade.models.convert import WEIGHTS, convert
from natix_cascade.models.fetching import one_at_a_time
from natix_cascade.models.manifest import CUSTOM, HEAD, FileEntry, check_name, hash_files
from natix_cascade.models.trained import check_adapter, check_graph, check_tensors
from natix_cascade.spec.base import Spec
from natix_cascade.spec.build import plain
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.files import read_spec
from natix_cascade.spec.origin import Link

__all__ = ["GRAPH", "LinkOptions", "LinkRecord", "Linked", "Links", "link_outputs", "read_links"]

GRAPH = "model.onnx"
_RECORD, _STORE = f"{CUSTOM}/links.json", f"{CUSTOM}/.converted"
_PICKLED = (".pt", ".pth")
_KEPT = {".json", ".safetensors", ".jinja", ".txt", ".model"}  # of an adapter's folder; not the optimizer's state
_EXPORT = (
    "a .pt of a detector is a pickle of its program's own classes and is never loaded; export it with the program that "
    "trained it (for YOLO: yolo export model=best.pt format=onnx dynamic=True) and link again: best.onnx or model.onnx "
    "beside it is taken"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord(Spec):
    """The links that were made for one model, and what they lead to.

    Attributes
    ----------
    links : dict
        Path below the models folder to the absolute path that it points to.
    files : tuple of FileEntry
        Weights and configurations behind them, by their paths below the models folder.
    """

    links: dict[str, str]
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links(Spec):
    """All links that were made in a folder, by model."""

    version: Literal[1] = 1
    links: dict[str, LinkRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Linked:
    """What became of one model.

    Attributes
    ----------
    model : str
        Its name.
    status : {"linked", "already", "missing", "refused"}
        In a dry run ``linked`` is what would be linked.
    source : str
        What was looked at.
    says : str
        What it is, or why not.
    bytes : int
        What a copy would have taken and the link does not.
    converted : int
        Bytes that were written because a ``.pt`` had to be converted.
    """

    model: str
    status: Literal["linked", "already", "missing", "refused"]
    source: str
    says: str = ""
    bytes: int = 0
    converted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How to link.

    Attributes
    ----------
    convert : bool
        Convert a ``.pt`` where there is nothing better.
    dry_run : bool
        Look and check only.
    """

    convert: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be linked: places and files below the models folder, each with what it stands for."""

    links: dict[str, Path]
    files: dict[str, Path]
    says: str


def read_links(models: Path) -> Links:
    """The links that were made in a models folder."""
    path = models / _RECORD
    return read_spec(path, Links) if path.is_file() else Links()


def link_outputs(cards: Sequence[ModelCard], outputs: Path, models: Path, options: LinkOptions) -> Iterator[Linked]:
    """Link every trained model that a project has.

    An adapter's folder is linked as ``custom/NAME``; weights as ``custom/NAME/model.safetensors`` or, for the ONNX
    engine, ``custom/NAME/model.onnx``; a head as ``NAME/head.safetensors`` beside the fetched backbone.

    Parameters
    ----------
    cards : sequence of ModelCard
        Those without `Source.link` are passed over.
    outputs : Path
        The training project's folder of outputs.
    models : Path
        The models folder.
    options : LinkOptions
        See there.

    Raises
    ------
    ModelError
        There is no such folder, or another process is at work.
    """
    if not outputs.is_dir():
        raise ModelError(f"no folder {outputs}; give the training project's folder of outputs")
    with one_at_a_time(models) if not options.dry_run else contextlib.nullcontext():
        for card in cards:
            if card.source is not None and card.source.link is not None:
                yield _link(card, card.source.link, outputs.resolve(), models.absolute(), options)


def _link(card: ModelCard, link: Link, outputs: Path, models: Path, options: LinkOptions) -> Linked:
    output = outputs / link.output
    found = _candidate(card, link, output)
    if found is None:
        return Linked(card.name, "missing", str(output), "nothing there; train it, or give another folder of outputs")
    converted = 0
    try:
        check_name(card.name)
        if found.suffix in _PICKLED:
            if (refused := _no_conversion(card, options)) is not None:
                raise ModelError(refused)
            if options.dry_run:
                return Linked(card.name, "linked", str(found), "would be converted to safetensors and checked")
            made = convert(found, models / _STORE) / WEIGHTS
            converted = made.stat().st_size
            wish = _wish(card, link, made)
            wish = replace(wish, says=f"{wish.says}, converted from {found.name}")
        else:
            wish = _wish(card, link, found)
        done = _made(card, wish, models, options)
    except (OSError, CascadeError) as error:
        return Linked(card.name, "refused", str(found), str(error))
    return replace(done, source=str(found), bytes=0 if converted else done.bytes, converted=converted)


def _candidate(card: ModelCard, link: Link, output: Path) -> Path | None:
    """The best of what lies at the place: a graph for the ONNX engine, safetensors, and a ``.pt`` only if need be."""
    if link.kind == "adapter":
        return output if output.is_dir() else None
    folder, stem = (output, "model") if output.is_dir() else (output.parent, output.stem)
    names = [stem, "best", "model"] if card.engine == "onnx" else [stem, "model"]
    suffix = ".onnx" if card.engine == "onnx" else ".safetensors"
    order = [*(f"{name}{suffix}" for name in names), output.name, *(f"{stem}{pickled}" for pickled in _PICKLED)]
    return next((path for name in order if (path := folder / name).is_file()), None)


def _no_conversion(card: ModelCard, options: LinkOptions) -> str | None:
    if card.engine == "onnx":
        return _EXPORT
    return None if options.convert else "only a .pt is there; link with --convert, or save it as safetensors"


def _wish(card: ModelCard, link: Link, found: Path) -> _Wish:
    """Check what was found, and say where it belongs."""
    if link.kind == "adapter":
        place = f"{CUSTOM}/{card.name}"
        kept = [path for path in sorted(found.iterdir()) if path.is_file() and path.suffix in _KEPT]
        return _Wish({place: found}, {f"{place}/{path.name}": path for path in kept}, check_adapter(found, card))
    if found.suffix == ".onnx":
        place = f"{CUSTOM}/{card.name}/{GRAPH}"
        beside = [path for end in (".data", "_data") if (path := found.with_name(found.name + end)).is_file()]
        links = {place: found} | {f"{CUSTOM}/{card.name}/{path.name}": path for path in beside}
        return _Wish(links, links, check_graph(found, card))
    place = f"{card.name}/{HEAD}" if link.kind == "head" else f"{CUSTOM}/{card.name}/{WEIGHTS}"
    return _Wish({place: found}, {place: found}, check_tensors(found, card))


def _made(card: ModelCard, wish: _Wish, models: Path, options: LinkOptions) -> Linked:
    """Make the links that are not there, and note what they lead to."""
    all_links = read_links(models)
    before = all_links.links.get(card.name)
    links = {place: str(target) for place, target in wish.links.items()}
    for place, target in links.items():
        _check_place(models, place, target, before)
    digests = hash_files(list(wish.files.values()))
    entries = tuple(
        FileEntry(file=name, bytes=path.stat().st_size, sha256=digest)
        for (name, path), digest in zip(wish.files.items(), digests, strict=True)
    )
    record, size = LinkRecord(links=links, files=entries), sum(entry.bytes for entry in entries)
    there = all(_leads_to(models / place) == target for place, target in links.items())
    if there and before == record:
        return Linked(card.name, "already", "", wish.says, size)
    if not options.dry_run:
        for place, target in links.items():
            _point(models / place, target)
        text = json.dumps({"version": 1} | plain(Links(links={**all_links.links, card.name: record})), indent=1) + "\n"
        write_whole(models / _RECORD, text.encode())
    says = f"{wish.says}; its files changed since it was linked" if there and before is not None else wish.says
    return Linked(card.name, "linked", "", says, size)


def _leads_to(place: Path) -> str | None:
    return str(place.readlink()) if place.is_symlink() else None


def _check_place(models: Path, place: str, target: str, before: LinkRecord | None) -> None:
    """Refuse to replace what was not made here."""
    path = models / place
    if any(parent.is_symlink() for parent in path.parents if parent != models and models in parent.parents):
        raise ModelError(f"{path.parent} is a link itself; remove it and link again")
    points = _leads_to(path)
    if points is None:
        if path.exists():
            raise ModelError(f"{path} is there and is no link; move it away and link again")
    elif points != target and (before is None or before.links.get(place) != points):
        raise ModelError(f"{path} points to {points} and was not linked here; remove it and link again")


def _point(path: Path, target: str) -> None:
    """Point a link to its target, in one step."""
    if _leads_to(path) == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)
