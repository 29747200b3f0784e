"""Fetching models into the models folder: what is there stays, space is checked first, commits are pinned."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from natix_cascade.errors import CascadeError, MissingExtraError, ModelError, TransientModelError
from natix_cascade.models.hub import Repository, download, is_on_hub, look_up
from natix_cascade.models.manifest import (
    MANIFEST,
    Lock,
    Manifest,
    Pin,
    check_name,
    compare,
    files_below,
    read_lock,
    read_manifest,
    write_lock,
    write_manifest,
)
from natix_cascade.models.safetensors_header import read_header
from natix_cascade.spec.card import ModelCard

__all__ = ["FetchOptions", "Fetched", "fetch_models", "one_at_a_time"]

_NOTES = Path(".cache", "huggingface")
"""Below a model's folder while it is being fetched."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one model.

    Attributes
    ----------
    model : str
        Its name.
    status : {"fetched", "here", "failed", "not on the hub"}
        ``here``: it was there already, whole.
    commit : str
        At which it is pinned, if known.
    bytes : int
        Of all its files.
    problem : str
        Why it failed, or where it comes from instead.
    """

    model: str
    status: Literal["fetched", "here", "failed", "not on the hub"]
    commit: str = ""
    bytes: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to fetch.

    Attributes
    ----------
    workers : int
        Files at a time.
    update : bool
        Pin the newest commit of cards that name none, rather than the one that is pinned.
    check : bool
        Hash what is here already, rather than trust its sizes.
    show : bool
        Draw progress on standard error.
    """

    workers: int = 4
    update: bool = False
    check: bool = False
    show: bool = False


def fetch_models(cards: Sequence[ModelCard], folder: Path, options: FetchOptions) -> Iterator[Fetched]:
    """Fetch models one after the other; each is whole and pinned when it is told of.

    Parameters
    ----------
    cards : sequence of ModelCard
        What to fetch.
    folder : Path
        The models folder; each model gets a folder of its name.
    options : FetchOptions
        See there.

    Raises
    ------
    TransientModelError
        The hub cannot be reached.
    MissingExtraError
        huggingface_hub is not installed.
    ModelError
        The disk is too small for all of them, or another process fetches into this folder.
    """
    wanted: list[ModelCard] = []
    for card in cards:
        if not is_on_hub(card):
            yield Fetched(card.name, "not on the hub", problem=_instead(card))
        elif (found := _here(card, folder, options)) is not None:
            yield found
        else:
            wanted.append(card)
    if not wanted:
        return
    with one_at_a_time(folder):
        plans: list[tuple[ModelCard, Repository]] = []
        for card in wanted:
            planned = _planned(card, folder, options)
            if isinstance(planned, Fetched):
                yield planned
            else:
                plans.append((card, planned))
        _check_space(plans, folder)
        for card, repository in plans:
            yield _fetched(card, repository, folder, options)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a models folder: whoever writes there does so alone; the system lets go of it when the process ends.

    Raises
    ------
    ModelError
        Another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ModelError(f"the models folder {folder} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelError(f"another process is fetching or linking into {folder}; wait until it is done") from None
        yield
    finally:
        os.close(handle)


def _pinned(card: ModelCard, folder: Path, options: FetchOptions) -> str | None:
    """The commit that is wanted: the card's, else the pinned one; None: the newest."""
    if card.source is not None and card.source.revision:
        return card.source.revision
    if options.update:
        return None
    pin = read_lock(folder).models.get(card.name)
    return (
        pin.commit if pin is not None and card.source is not None and pin.identifier == card.source.identifier else None
    )


def _here(card: ModelCard, folder: Path, options: FetchOptions) -> Fetched | None:
    """What is whole already needs no hub."""
    manifest = read_manifest(folder / card.name)
    commit = _pinned(card, folder, options)
    if manifest is None or card.source is None or manifest.identifier != card.source.identifier:
        return None
    if commit is None or manifest.commit != commit:
        return None
    differences = compare(folder / card.name, manifest, quick=not options.check, threads=options.workers)
    if differences.missing or differences.changed:
        return None
    return Fetched(card.name, "here", manifest.commit, manifest.bytes)


def _planned(card: ModelCard, folder: Path, options: FetchOptions) -> Repository | Fetched:
    try:
        check_name(card.name)
        return look_up(card, _pinned(card, folder, options))
    except (TransientModelError, MissingExtraError):
        raise
    except CascadeError as error:
        return Fetched(card.name, "failed", problem=str(error))


def _check_space(plans: Sequence[tuple[ModelCard, Repository]], folder: Path) -> None:
    needed = sum(repository.missing(folder / card.name) for card, repository in plans)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"{', '.join(card.name for card, _ in plans)} need {needed / 1e9:,.1f} GB more in {folder}, "
            f"{free / 1e9:,.1f} GB are free; fetch fewer, or set NATIX_CASCADE_MODELS to a folder on a larger disk"
        )


def _fetched(card: ModelCard, repository: Repository, folder: Path, options: FetchOptions) -> Fetched:
    place = folder / card.name
    try:
        before = _begin(place)
        entries = download(card, repository, place, workers=options.workers, show=options.show)
        for entry in entries:
            if entry.file.endswith(".safetensors"):
                read_header(place / entry.file)
    except TransientModelError:
        raise
    except CascadeError as error:
        return Fetched(card.name, "failed", repository.commit, problem=str(error))
    for entry in before.files if before is not None else ():
        if entry.file not in {one.file for one in entries}:
            (place / entry.file).unlink(missing_ok=True)  # an earlier commit had it
    lock = read_lock(folder)
    pin = Pin(identifier=repository.identifier, commit=repository.commit)
    write_lock(folder, Lock(models={**lock.models, card.name: pin}))
    manifest = Manifest(
        name=card.name, identifier=repository.identifier, commit=repository.commit, files=tuple(entries)
    )
    write_manifest(place, manifest)
    shutil.rmtree(place / _NOTES.parts[0], ignore_errors=True)
    return Fetched(card.name, "fetched", repository.commit, manifest.bytes)


def _begin(place: Path) -> Manifest | None:
    """Mark a folder as unfinished; returns the manifest that it had.

    Raises
    ------
    ModelError
        It holds what no fetch brought: that is not ours to overwrite.
    """
    before = read_manifest(place)
    if before is None and not (place / _NOTES).is_dir() and place.is_dir() and files_below(place):
        raise ModelError(f"{place} holds files that were not fetched; move them away, or fetch into another folder")
    (place / _NOTES).mkdir(parents=True, exist_ok=True)
    (place / MANIFEST).unlink(missing_ok=True)
    return before


def _instead(card: ModelCard) -> str:
    """Where the weights of a model come from that is not on the hub."""
    if card.weights is not None:
        return "its weights belong to its card"
    if card.source is not None and card.source.link is not None:
        return "a training project makes it: natix-cascade models link"
    if card.is_remote:
        return "a server holds its weights"
    return f"where its weights are to be had: natix-cascade models show {card.name}"
