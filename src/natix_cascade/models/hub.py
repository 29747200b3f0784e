"""Model repositories on the hub: what they hold, and getting it. Only here is huggingface_hub imported."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from natix_cascade.errors import MissingExtraError, ModelError, SecretError, TransientModelError
from natix_cascade.models.manifest import MANIFEST, FileEntry, Progress, describe, is_below
from natix_cascade.secrets import shared
from natix_cascade.spec.card import ModelCard

__all__ = ["HubFile", "Repository", "download", "is_on_hub", "look_up"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_PICKLED = (".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
"""Loading one of these can run whatever its author wrote into it."""
_CHECKING = "checking"
TOKEN_VARIABLE = "NATIX_CASCADE_HF_TOKEN"  # noqa: S105  # a name


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository.

    Attributes
    ----------
    file : str
        Its path.
    bytes : int
        Its size.
    sha256 : str
        Of large files; empty for others.
    blob : str
        Git's own sha1 of small files.
    """

    file: str
    bytes: int
    sha256: str = ""
    blob: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit, as far as a card needs it.

    Attributes
    ----------
    identifier, commit : str
        Which one.
    files : tuple of HubFile
        What the card's patterns take.
    refused : tuple of str
        What they would take, were it not pickled.
    """

    identifier: str
    commit: str
    files: tuple[HubFile, ...]
    refused: tuple[str, ...] = ()

    def missing(self, folder: Path) -> int:
        """Bytes that are still to come into a folder."""
        return sum(
            item.bytes
            for item in self.files
            if not (path := folder / item.file).is_file() or path.stat().st_size != item.bytes
        )


def is_on_hub(card: ModelCard) -> bool:
    """Whether the card names files of a repository of the hub."""
    return (
        card.source is not None and bool(card.source.files) and _HUB_NAME.fullmatch(card.source.identifier) is not None
    )


def look_up(card: ModelCard, revision: str | None) -> Repository:
    """Ask the hub what a card's repository holds.

    Parameters
    ----------
    card : ModelCard
        One that `is_on_hub`.
    revision : str or None
        Commit; None takes the newest.

    Raises
    ------
    TransientModelError
        The hub cannot be reached.
    ModelError
        There is no such repository or commit, its licence was not accepted, or it holds nothing that is wanted.
    MissingExtraError
        huggingface_hub is not installed.
    SecretError
        ``NATIX_CASCADE_HF_TOKEN`` is no reference, or its secret cannot be had.
    """
    source = card.source
    if source is None or not is_on_hub(card):
        raise ModelError(f"model {card.name!r} is not on the hub")
    library, token = _library(), _token()
    with _plainly(card, library, revision):
        api = library.HfApi(library_name="natix-cascade", token=token)
        about = api.model_info(source.identifier, revision=revision)
        if about.gated:
            api.auth_check(source.identifier)
        tree = list(api.list_repo_tree(source.identifier, recursive=True, revision=about.sha))
    wanted = [_file(item) for item in tree if isinstance(item, library.RepoFile) and _matches(item.path, source.files)]
    files = tuple(item for item in wanted if _is_wanted(item.file))
    refused = tuple(item.path for item in tree if item.path.lower().endswith(_PICKLED))
    if not any(item.file.endswith((".safetensors", ".onnx", ".onnx_data")) for item in files):
        pickled = f" ({', '.join(refused[:3])} would run code when loaded and is never fetched)" if refused else ""
        raise ModelError(
            f"model {card.name!r}: {source.identifier} at {about.sha[:12]} has no weights as safetensors or ONNX among "
            f"{', '.join(source.files)}{pickled}; export it yourself and use: natix-cascade models link"
        )
    return Repository(source.identifier, about.sha, files, refused)


def download(
    card: ModelCard, repository: Repository, folder: Path, *, workers: int = 4, show: bool = False
) -> list[FileEntry]:
    """Bring the files of a repository into a folder and compare each with the hub's checksum.

    Files that are there already stay; a broken connection goes on where it broke. After a killed process, finished
    files stay and unfinished ones begin anew.

    Parameters
    ----------
    card : ModelCard
        For messages.
    repository : Repository
        From `look_up`.
    folder : Path
        Where to; made if missing.
    workers : int
        Files at a time.
    show : bool
        Draw a bar on standard error, if that is a terminal.

    Raises
    ------
    TransientModelError, ModelError
        See `look_up`; also where a file is not what the hub says of it: it is then deleted.
    """
    library, token = _library(), _token()
    for stale in folder.glob(".cache/huggingface/download/**/*.incomplete"):  # of a killed process
        stale.unlink(missing_ok=True)
    for item in repository.files:
        path = folder / item.file
        if path.is_file() and path.stat().st_size != item.bytes:
            path.unlink()
    bars: list[Any] = []
    kind = _bar(library, card.name, bars, show=show)
    try:
        with _plainly(card, library, repository.commit):
            library.snapshot_download(
                repository.identifier,
                revision=repository.commit,
                local_dir=folder,
                allow_patterns=[glob.escape(item.file) for item in repository.files],
                max_workers=workers,
                tqdm_class=kind,
                library_name="natix-cascade",
                token=token,
            )
        checking = kind(total=sum(item.bytes for item in repository.files), unit="B", unit_scale=True, desc=_CHECKING)
        return _checked(card, repository, folder, workers, checking.update)
    finally:
        for bar in bars:
            bar.close()


def _checked(
    card: ModelCard, repository: Repository, folder: Path, threads: int, progress: Progress
) -> list[FileEntry]:
    gone = [item.file for item in repository.files if not (folder / item.file).is_file()]
    if gone:
        raise TransientModelError(f"model {card.name!r}: {len(gone)} files did not arrive ({gone[0]}...); fetch again")
    entries = describe(folder, [item.file for item in repository.files], threads=threads, progress=progress)
    told = {item.file: item for item in repository.files}
    wrong = [entry.file for entry in entries if not _agrees(entry, told[entry.file], folder)]
    for name in wrong:
        (folder / name).unlink()
    if wrong:
        raise ModelError(
            f"model {card.name!r}: {', '.join(wrong[:3])} {'is' if len(wrong) == 1 else 'are'} not what the hub's "
            f"checksum says; deleted: fetch again, and if it stays so do not trust this source"
        )
    return entries


def _agrees(entry: FileEntry, told: HubFile, folder: Path) -> bool:
    if entry.bytes != told.bytes:
        return False
    if told.sha256:
        return entry.sha256 == told.sha256
    content = (folder / entry.file).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == told.blob


def _file(item: Any) -> HubFile:
    if not is_below(item.path):
        raise ModelError(f"the repository has a file at {item.path!r}, outside of its folder; it is not to be trusted")
    return HubFile(item.path, item.size, item.lfs.sha256 if item.lfs else "", item.blob_id)


def _is_wanted(path: str) -> bool:
    """No pickles, and nothing where this program or the library keeps its own notes."""
    return not path.lower().endswith(_PICKLED) and path != MANIFEST and not path.startswith(".cache/")


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _token() -> str | None:
    """The token by reference; None: as the library finds one by itself, in HF_TOKEN or in its own file."""
    reference = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not reference:
        return None
    try:
        return shared().open(reference).reveal()
    except SecretError as error:
        raise SecretError(f"{TOKEN_VARIABLE}: {error}") from None


def _library() -> ModuleType:
    try:
        import huggingface_hub  # noqa: PLC0415  # an optional extra
        import huggingface_hub.constants  # noqa: PLC0415  # its parts are loaded when they are named
        import huggingface_hub.errors  # noqa: PLC0415
        import huggingface_hub.utils  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "fetching models needs huggingface_hub; install it with: pip install 'natix-cascade[hub]'"
        ) from error
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    library: ModuleType = huggingface_hub
    return library


def _bar(library: ModuleType, name: str, made: list[Any], *, show: bool) -> type[Any]:
    """A progress bar for the library: of the three that it draws, the one of bytes on disk; all go into `made`."""
    parent: type[Any] = library.utils.tqdm

    class Bar(parent):  # type: ignore[misc]  # a class that is known at run time only
        def __init__(self, *args: Any, **options: Any) -> None:
            bytes_on_disk = options.get("unit") == "B" and not str(options.get("name")).endswith(".transfer")
            options["disable"] = None if show and bytes_on_disk else True
            options["desc"] = f"{name}: {_CHECKING}" if options.get("desc") == _CHECKING else name
            options["leave"] = False
            super().__init__(*args, **options)
            made.append(self)

        def set_description(self, desc: str | None = None, refresh: bool = True) -> None:  # noqa: FBT001, FBT002  # tqdm's
            """Keep the model's name."""

    return Bar


@contextlib.contextmanager
def _plainly(card: ModelCard, library: ModuleType, revision: str | None) -> Iterator[None]:
    """The library's errors as one sentence each."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise _told(card, library, revision, error) from error


def _told(  # noqa: PLR0911  # one line a kind
    card: ModelCard, library: ModuleType, revision: str | None, error: Exception
) -> ModelError:
    errors, where = library.errors, library.constants.ENDPOINT
    identifier = card.source.identifier if card.source is not None else ""
    say = f"model {card.name!r}: "
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{say}{identifier} is gated: accept its licence ({card.licence}) at {where}/{identifier}, then set "
            "HF_TOKEN to a token of that account, or NATIX_CASCADE_HF_TOKEN to where one is kept"
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:  # noqa: PLR2004  # HTTP
        return ModelError(
            f"{say}no repository {identifier} at {where}, or it is private or gated; check the card's identifier, or "
            "set HF_TOKEN to a token of an account that may read it, or NATIX_CASCADE_HF_TOKEN to where one is kept"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"{say}{identifier} has no revision {revision}; mend the card, or pin anew with --update")
    if isinstance(error, errors.OfflineModeIsEnabled) or "offline" in type(error).__name__.lower():
        return TransientModelError(
            "offline: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset it, or copy the models folder from a "
            "machine that has it"
        )
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"TransportError", "ConnectionError", "LocalEntryNotFoundError", "TimeoutError"}:
        return TransientModelError(
            f"the hub at {where} cannot be reached ({_first_line(error)}); go online, or copy the models folder from a "
            "machine that has it"
        )
    if status is not None:
        kind = TransientModelError if status >= 500 or status == 429 else ModelError  # noqa: PLR2004  # HTTP
        return kind(f"{say}the hub at {where} answered {status}: {_first_line(error)}; try again later")
    return ModelError(f"{say}{identifier} cannot be fetched: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
