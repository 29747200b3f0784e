"""Linking what a training project left behind into the models folder, instead of copying it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from natix_cascade.errors import CascadeError, MissingExtraError, ModelError
from natix_cascade.files import write_whole
from natix_cascade.models.convert import convert
from natix_cascade.models.fetching import one_at_a_time
from natix_cascade.models.manifest import FileEntry, describe, files_below
from natix_cascade.models.trained import check_adapter, check_graph, check_tensors
from natix_cascade.spec.base import Spec
from natix_cascade.spec.build import plain
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.files import read_spec

__all__ = ["LinkOptions", "LinkRecord", "Linked", "Links", "link_outputs", "read_links"]

_RECORD, _STORE = "links.json", ".converted"
_EXPORT = (
    "a .pt of a detector is a pickle of its program's own classes and is never loaded; export it with the program that "
    "trained it (for YOLO: yolo export model=best.pt format=onnx dynamic=True) and link again: best.onnx beside it is taken"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord(Spec):
    """A link that was made here: where it points, and what lay there.

    Attributes
    ----------
    target : str
        Absolute path.
    files : tuple of FileEntry
        Below the target; of a single file, its own name.
    """

    target: str
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


def read_links(custom: Path) -> Links:
    """The links that were made in a folder."""
    path = custom / _RECORD
    return read_spec(path, Links) if path.is_file() else Links()


def link_outputs(cards: Sequence[ModelCard], outputs: Path, custom: Path, options: LinkOptions) -> Iterator[Linked]:
    """Link every trained model that a project has.

    Parameters
    ----------
    cards : sequence of ModelCard
        Those without `Source.link` are passed over.
    outputs : Path
        The training project's folder of outputs.
    custom : Path
        Where the links go, by the card's name: a folder with the adapter or with ``model.safetensors``, or, for the
        ONNX engine, the graph itself.
    options : LinkOptions
        See there.

    Raises
    ------
    ModelError
        There is no such folder, or another process is at work.
    """
    if not outputs.is_dir():
        raise ModelError(f"no folder {outputs}; give the training project's folder of outputs")
    with one_at_a_time(custom.parent):
        for card in cards:
            if card.source is not None and card.source.link is not None:
                yield _link(card, outputs.resolve() / card.source.link.output, custom, options)


def _link(card: ModelCard, output: Path, custom: Path, options: LinkOptions) -> Linked:
    found = _candidate(card, output)
    if found is None:
        return Linked(card.name, "missing", str(output), "nothing there; train it, or give another folder of outputs")
    converted = 0
    try:
        _check_place(card, custom)
        if found.suffix in {".pt", ".pth"}:
            found, converted, said = _from_checkpoint(card, found, custom, options)
        else:
            said = _checked(card, found)
    except (OSError, CascadeError) as error:
        missing_extra = isinstance(error, MissingExtraError)
        return Linked(card.name, "refused", str(found), str(error) + (" (and link again)" if missing_extra else ""))
    if found is None:
        return Linked(card.name, "linked", str(output), said)
    return replace(_made(card, found, custom, said, options), converted=converted)


def _candidate(card: ModelCard, output: Path) -> Path | None:
    """The best of what lies at the place: graphs for the ONNX engine, safetensors, and a ``.pt`` only if need be."""
    link = card.source.link if card.source is not None else None
    if link is not None and link.kind == "adapter":
        return output if output.is_dir() else None
    folder, stem = (output, "model") if output.is_dir() else (output.parent, output.stem)
    graphs = [folder / f"{stem}.onnx", folder / "best.onnx", folder / "model.onnx"]
    tensors = [folder / f"{stem}.safetensors", folder / "model.safetensors"]
    pickles = [output, folder / f"{stem}.pt", folder / f"{stem}.pth"]
    order = [*graphs, *pickles] if card.engine == "onnx" else [*tensors, *pickles]
    return next((path for path in order if path.is_file()), None)


def _check_place(card: ModelCard, custom: Path) -> None:
    """Refuse to replace what was not made here."""
    place = custom / card.name
    record = read_links(custom).links.get(card.name)
    if place.is_symlink():
        ours = record is not None and str(place.readlink()) == record.target
        if not ours and record is not None:
            raise ModelError(
                f"{place} points to {place.readlink()}, which was not linked here; remove it and link again"
            )
    elif place.exists():
        raise ModelError(f"{place} is there and is no link; move it away and link again")


def _from_checkpoint(
    card: ModelCard, checkpoint: Path, custom: Path, options: LinkOptions
) -> tuple[Path | None, int, str]:
    if card.engine == "onnx":
        raise ModelError(_EXPORT)
    if not options.convert:
        raise ModelError("only a .pt is there; link with --convert, or save it as safetensors")
    if options.dry_run:
        return None, 0, "would be converted to safetensors first"
    folder = convert(checkpoint, custom / _STORE)
    said = check_tensors(folder / "model.safetensors", card)
    return folder, (folder / "model.safetensors").stat().st_size, f"{said}, converted from {checkpoint.name}"


def _checked(card: ModelCard, found: Path) -> str:
    if found.is_dir():
        return check_adapter(found, card)
    return check_graph(found, card) if found.suffix == ".onnx" else check_tensors(found, card)


def _made(card: ModelCard, found: Path, custom: Path, said: str, options: LinkOptions) -> Linked:
    """Make the link unless it is there, and note what it leads to."""
    place, links = custom / card.name, read_links(custom)
    before = links.links.get(card.name)
    # an engine finds safetensors in a folder, as a fetched model's; a graph is given to ONNX Runtime as it is
    target = found.parent if found.suffix == ".safetensors" else found
    names = files_below(target) if target.is_dir() else [target.name]
    record = LinkRecord(target=str(target), files=tuple(describe(target if target.is_dir() else target.parent, names)))
    size = 0 if _STORE in target.parts else sum(entry.bytes for entry in record.files)
    there = place.is_symlink() and str(place.readlink()) == str(target)
    if there and before is not None and before == record:
        return Linked(card.name, "already", str(target), said, size)
    if not options.dry_run:
        custom.mkdir(parents=True, exist_ok=True)
        if not there:
            place.unlink(missing_ok=True)  # a link of our own: see `_check_place`
            place.symlink_to(target)
        text = json.dumps({"version": 1} | plain(Links(links={**links.links, card.name: record})), indent=1) + "\n"
        write_whole(custom / _RECORD, text.encode())
    if there and before is not None:
        said += "; its files changed since it was linked, and are noted anew"
    return Linked(card.name, "linked", str(target), said, size)
