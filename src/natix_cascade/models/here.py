"""Whether the weights of a model are on this machine, and whether they are the right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from natix_cascade.errors import CascadeError, ChecksumError, ModelError
from natix_cascade.models.engines import load_model, verify_weights
from natix_cascade.models.linking import read_links
from natix_cascade.models.manifest import (
    CUSTOM,
    HEAD,
    Differences,
    FileEntry,
    Manifest,
    Progress,
    compare,
    files_below,
    hash_files,
    read_lock,
    read_manifest,
)
from natix_cascade.models.safetensors_header import read_header
from natix_cascade.models.trained import check_graph
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.library import CardFile

__all__ = ["Verified", "WeightsHere", "bytes_to_hash", "verify_model", "weights_here"]

_WEIGHTS = (".safetensors", ".onnx")
Part = Literal["", "here", "unfinished", "missing"]


@dataclass(frozen=True, slots=True)
class WeightsHere:
    """What is here of a model; empty where nothing is needed.

    Attributes
    ----------
    base : str
        What is shipped, fetched or put there by hand.
    trained : str
        What a training project adds.
    adapter : bool
        Whether that is an adapter, without which the base answers.
    """

    base: Part = ""
    trained: Part = ""
    adapter: bool = False

    @property
    def ready(self) -> bool:
        """Whether it can be loaded, or served from here."""
        needed = [self.base] if self.adapter else [self.base, self.trained]
        return "here" in needed and all(part in {"", "here"} for part in needed)

    def __str__(self) -> str:
        if not self.base and not self.trained:
            return "at its server"
        if not self.base or not self.trained:
            return self.base or self.trained
        if self.base == self.trained:
            return self.base
        what = "adapter" if self.adapter else "head"
        return f"base {self.base}, {what} {self.trained}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found out about a model's weights.

    Attributes
    ----------
    model : str
        Its name.
    status : {"ok", "failed", "missing", "remote"}
        ``missing``: not here, or not all of it.
    problem : str or None
        What is wrong.
    files : Differences
        By path below the models folder; extra ones are no failure.
    says : str
        What was looked at.
    """

    model: str
    status: Literal["ok", "failed", "missing", "remote"]
    problem: str | None = None
    files: Differences = field(default_factory=Differences)
    says: str = ""


def weights_here(item: CardFile, models: Path) -> WeightsHere:
    """Look which weights of a card are on this machine; nothing is read but names and sizes."""
    card = item.card
    if card.weights is not None:
        there = item.weights.is_file() and item.weights.stat().st_size == card.weights.bytes
        return WeightsHere("here" if there else "missing")
    if card.source is None:
        return WeightsHere() if card.is_remote else WeightsHere(_folder(item.weights))
    link = card.source.link
    if link is None:
        return WeightsHere(_folder(item.weights))
    if link.kind == "checkpoint":
        return WeightsHere(trained=_folder(item.weights))
    trained = models / card.name / HEAD if link.kind == "head" else models / CUSTOM / card.name / "adapter_config.json"
    return WeightsHere(
        _folder(models / card.name), "here" if trained.is_file() else "missing", adapter=link.kind == "adapter"
    )


def bytes_to_hash(item: CardFile, models: Path) -> int:
    """Bytes that `verify_model` will read when it is not quick, for a progress bar."""
    if item.card.weights is not None:
        return 0  # small, and read by the engine's own check
    manifest, record = _manifest(item.card, models), read_links(models).links.get(item.card.name)
    return (manifest.bytes if manifest else 0) + sum(entry.bytes for entry in (record.files if record else ()))


def verify_model(
    item: CardFile, models: Path, *, quick: bool = False, threads: int = 2, progress: Progress | None = None
) -> Verified:
    """Compare a model's weights with its card or manifest, and ask it where that is cheap.

    Parameters
    ----------
    item : CardFile
        The card and where its weights lie.
    models : Path
        The models folder.
    quick : bool
        Compare sizes only.
    threads : int
        Files that are hashed at a time.
    progress : callable or None
        Called with the number of bytes just read.
    """
    try:
        return _verified(item, models, quick=quick, threads=threads, progress=progress)
    except CascadeError as error:
        return Verified(item.card.name, "failed", str(error))
    except OSError as error:
        return Verified(item.card.name, "failed", f"{error.filename}: cannot be read: {error.strerror}")


def _verified(item: CardFile, models: Path, *, quick: bool, threads: int, progress: Progress | None) -> Verified:
    card = item.card
    if card.weights is not None:
        return Verified(card.name, "ok", says=_shipped(item, quick=quick))
    state = weights_here(item, models)
    if state == WeightsHere():
        return Verified(card.name, "remote", says="a server holds its weights")
    found = _differences(card, models, quick=quick, threads=threads, progress=progress)
    if found.missing or found.changed:
        fetched = any(name.startswith(f"{card.name}/") for name in found.missing + found.changed)
        how = f"fetch {card.name} --check" if fetched else "link"
        return Verified(card.name, "failed", f"{found}; get it again with: natix-cascade models {how}", files=found)
    _check_pin(card, models)
    if not state.ready:
        how = f"fetch {card.name}" if state.base in {"missing", "unfinished"} else "link"
        return Verified(card.name, "missing", f"{state}; get it with: natix-cascade models {how}", files=found)
    return Verified(card.name, "ok", says=_whole(card, models), files=found)


def _folder(folder: Path) -> Part:
    if (folder / ".cache" / "huggingface").is_dir() and read_manifest(folder) is None:
        return "unfinished"
    files = [folder] if folder.is_file() else list(folder.glob("**/*"))
    return (
        "here" if any(path.suffix in _WEIGHTS and path.name != HEAD and path.is_file() for path in files) else "missing"
    )


def _manifest(card: ModelCard, models: Path) -> Manifest | None:
    return read_manifest(models / card.name)


def _shipped(item: CardFile, *, quick: bool) -> str:
    """Check the one file of a card, and ask the model about a grey picture."""
    card = item.card
    if quick and card.weights is not None:
        if not item.weights.is_file():
            raise ChecksumError(f"model {card.name!r}: no weights at {item.weights}; get the file again")
        if (size := item.weights.stat().st_size) != card.weights.bytes:
            raise ChecksumError(
                f"model {card.name!r}: {item.weights} has {size} bytes, the card says {card.weights.bytes}"
            )
        return "size"
    verify_weights(card, item.weights)
    model = load_model(card, item.weights)
    try:
        model.predict([model.prepare(np.full((64, 64, 3), 128, np.uint8))])
    finally:
        model.close()
    return "checksum, and it answers"


def _differences(
    card: ModelCard, models: Path, *, quick: bool, threads: int, progress: Callable[[int], None] | None
) -> Differences:
    """How manifest and links differ from what is there, by path below the models folder."""
    missing: list[str] = []
    changed: list[str] = []
    extra: list[str] = []
    manifest = _manifest(card, models)
    if manifest is not None:
        found = compare(models / card.name, manifest, quick=quick, threads=threads, progress=progress)
        for into, names in ((missing, found.missing), (changed, found.changed), (extra, found.extra)):
            into.extend(f"{card.name}/{name}" for name in names)
    record = read_links(models).links.get(card.name)
    if record is not None:
        wanted = {entry.file: entry for entry in record.files}
        missing += [name for name in wanted if not (models / name).is_file()]
        there = [name for name in wanted if name not in missing]
        changed += [name for name in there if not _same(models / name, wanted[name], quick, threads, progress)]
    return Differences(tuple(missing), tuple(changed), tuple(extra))


def _same(path: Path, entry: FileEntry, quick: bool, threads: int, progress: Progress | None) -> bool:  # noqa: FBT001
    if path.stat().st_size != entry.bytes:
        return False
    return quick or hash_files([path], threads=threads, progress=progress)[0] == entry.sha256


def _check_pin(card: ModelCard, models: Path) -> None:
    manifest = _manifest(card, models)
    if manifest is None or card.source is None:
        return
    pin = read_lock(models).models.get(card.name)
    wanted = card.source.revision or (pin.commit if pin is not None else None)
    if wanted is not None and manifest.commit != wanted:
        raise ModelError(
            f"fetched at {manifest.commit[:12]}, pinned at {wanted[:12]}; get it with: "
            f"natix-cascade models fetch {card.name}"
        )


def _whole(card: ModelCard, models: Path) -> str:
    """Look into the headers of what is here; returns what was done."""
    said = []
    for folder in (models / card.name, models / CUSTOM / card.name):
        names = files_below(folder) if folder.is_dir() else []
        for name in names:
            if name.endswith(".safetensors"):
                read_header(folder / name)
            elif name.endswith(".onnx") and card.engine == "onnx":
                check_graph(folder / name, card)
        if names:
            noted = folder.name == card.name and (read_manifest(folder) or read_links(models).links.get(card.name))
            said.append(f"{len(names)} files" if noted else f"{len(names)} files put there by hand, without checksums")
    return ", ".join(said)
