"""Records by running models: every model over a labelled manifest; killed at any moment, it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import RecordsError, SpecError
from natix_cascade.image import Level
from natix_cascade.plan.record_parts import ARRAYS, Part, parts_folder, read_part, write_part
from natix_cascade.plan.records import Records, write_records
from natix_cascade.report.manifest import Row
from natix_cascade.report.records import CLEAN, Failure, collect
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.build import plain
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec, Question
from natix_cascade.spec.library import known_cards

__all__ = ["UNITS", "Recorded", "cascade_of", "record"]

UNITS = ("gmacs", "usd", "ms")
"""What an answer can cost: by the cards (the first two), or measured."""

_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What `record` made.

    Attributes
    ----------
    records : Records
        What was written.
    path : Path
        Where.
    failures : tuple of Failure
        Pictures that could not be decoded; they are not in the records.
    resumed : int
        Pictures that a run before this one had finished.
    """

    records: Records
    path: Path
    failures: tuple[Failure, ...]
    resumed: int


def cascade_of(models: Sequence[str], cards: str | Path | None = None) -> CascadeSpec:
    """A cascade that asks these models one after the other, to record them without writing a file.

    The question is whether it is what the first model's scores speak of; `LoadedCascade.load` checks the others.

    Raises
    ------
    SpecError
        There are no models, or one has no card.
    """
    known = known_cards(None if cards is None else Path(cards))
    unknown = [name for name in models if name not in known]
    if unknown or not models:
        what = f"no card for model {', '.join(unknown)}" if unknown else "no model was named"
        raise SpecError(f"{what}; known cards: {', '.join(sorted(known))}")
    first, question = known[models[0]].card, Question()
    if first.positive != question.positive:
        others = [name for name in first.classes if name != first.positive]
        negative = others[0] if len(others) == 1 else f"not {first.positive}"
        text = f"Is it {first.positive}?"
        question = Question(id=first.positive, text=text, positive=first.positive, negative=negative)
    levels = tuple(LevelSpec(name=name, members=(MemberSpec(model=name),)) for name in models)
    return CascadeSpec(name="models", question=question, levels=levels)


def record(
    loaded: LoadedCascade,
    rows: Sequence[Row],
    out: str | Path,
    *,
    levels: Sequence[Level] = (),
    repetitions: int = 1,
    seed: int = 0,
    flips: bool = False,
    unit: str = "gmacs",
    fresh: bool = False,
    chunk: int = _CHUNK,
    on_progress: Callable[[int, int], None] | None = None,
) -> Recorded:
    """Ask every model about every picture and write the records; interrupted, the same call goes on.

    Scores are what the models say, not calibrated. A latency is the time of the batches that the picture was among,
    divided by their pictures: right on average, and the same for neighbours. All but the times is the same whether or
    not the run was interrupted.

    Parameters
    ----------
    loaded : LoadedCascade
        The models; load them with ``threads=1``, for batches run in parallel.
    rows : sequence of Row
        Labelled pictures, see `natix_cascade.report.manifest.read_manifest`.
    out : str or Path
        Parquet file to write.
    levels : sequence of Level
        Challenges at which each picture is shown, see `natix_cascade.image.challenge`; none: the picture as it is, at
        the level ``clean``.
    repetitions : int
        Augmentations of each picture at L1 to L3, at levels ``L1``, ``L1#1`` and so on; L0 has nothing at random.
        Rows are weighted such that each level counts the same.
    seed : int
        Of the augmentations.
    flips : bool
        Let the subnet's flips fire.
    unit : {"gmacs", "usd", "ms"}
        Cost that is used when none is named; the records carry all three, ``ms`` as the mean latency.
    fresh : bool
        Begin anew: throw away what an interrupted run left, and replace `out`.
    chunk : int
        Pictures of one part.
    on_progress : callable, optional
        Called with the number of pictures done and of all.

    Returns
    -------
    Recorded

    Raises
    ------
    RecordsError
        There are no pictures or one comes twice, an option is out of range, `out` exists, the parts were made with
        something else, another run writes them now, or no picture could be decoded.
    ModelError
        A model cannot be loaded.
    OSError
        The folder cannot be written.
    """
    _check(rows, repetitions, chunk, unit)
    path = Path(out)
    chosen = sorted({Level(level) for level in levels})
    ordered = sorted(rows, key=lambda row: row.key)
    options = {"levels": chosen, "repetitions": repetitions, "seed": seed, "flips": flips}
    loaded.load_all()
    parts: list[Part] = []
    resumed = 0
    with parts_folder(path, _meta(loaded, ordered, chunk) | options, fresh=fresh) as folder:
        for first in range(0, len(ordered), chunk):
            here = ordered[first : first + chunk]
            file = folder / f"{first // chunk:06d}.npz"
            part = read_part(file)
            if part is None:
                part = _answers(loaded, here, first, options, _shifted(on_progress, first, len(ordered)))
                write_part(file, part)
            else:
                resumed += len(here)
            parts.append(part)
            if on_progress is not None:
                on_progress(first + len(here), len(ordered))
        lost, why = (np.concatenate([part[name] for part in parts]) for name in ("lost", "why"))
        failures = tuple(Failure(ordered[int(i)].key, str(text)) for i, text in zip(lost, why, strict=True))
        if len(failures) == len(ordered):
            shutil.rmtree(folder)
            raise RecordsError(f"none of the {len(ordered)} pictures can be decoded; the first: {failures[0].error}")
        records = _records(loaded, ordered, parts, repetitions, unit)
        write_records(records, path)
        shutil.rmtree(folder)
    return Recorded(records=records, path=path, failures=failures, resumed=resumed)


def _check(rows: Sequence[Row], repetitions: int, chunk: int, unit: str) -> None:
    if not rows:
        raise RecordsError("there are no pictures to record; give at least one row")
    if min(repetitions, chunk) < 1:
        raise RecordsError(f"repetitions is {repetitions} and chunk is {chunk}; each must be at least 1")
    if unit not in UNITS:
        raise RecordsError(f"the unit is {unit!r}; choose among {', '.join(UNITS)}")
    seen: set[str] = set()
    for row in rows:
        if row.key in seen:
            raise RecordsError(f"{row.key} comes twice among the pictures; keep one of the two rows")
        seen.add(row.key)


def _meta(loaded: LoadedCascade, rows: Sequence[Row], chunk: int) -> dict[str, Any]:
    """All that answers depend on but the options."""
    pictures = sha256(repr([(r.key, str(r.path), r.label, r.group, r.split) for r in rows]).encode())
    cascade = loaded.resolved
    return {
        "pictures": pictures.hexdigest(),
        "models": [plain(cascade.cards[name]) for name in cascade.models],
        "question": plain(cascade.question),
        "chunk": chunk,
    }


def _answers(
    loaded: LoadedCascade,
    rows: Sequence[Row],
    first: int,
    options: dict[str, Any],
    on_progress: Callable[[int, int], None] | None,
) -> Part:
    found = collect(loaded, rows, **options, clean=not options["levels"], on_progress=on_progress)
    place = {row.key: first + index for index, row in enumerate(rows)}
    return {
        "row": found.row + first,
        "level": found.level,
        "repetition": found.repetition,
        "scores": found.scores,
        "variant_ms": found.variant_ms,
        "lost": np.array([place[failure.name] for failure in found.failures], dtype=np.int64),
        "why": np.array([failure.error for failure in found.failures], dtype=np.str_),
    }


def _shifted(
    on_progress: Callable[[int, int], None] | None, first: int, total: int
) -> Callable[[int, int], None] | None:
    return None if on_progress is None else lambda done, _: on_progress(first + done, total)


def _records(loaded: LoadedCascade, rows: Sequence[Row], parts: Sequence[Part], repetitions: int, unit: str) -> Records:
    row, level, repetition, scores, took = (
        np.concatenate([part[name] for part in parts]) for name in ARRAYS[: ARRAYS.index("lost")]
    )
    cascade = loaded.resolved
    cards = [cascade.cards[name] for name in cascade.models]
    later = np.char.add(np.char.add(level, "#"), repetition.astype(np.str_))

    def column(name: str) -> NDArray[np.str_]:
        texts: NDArray[np.str_] = np.array([getattr(each, name) for each in rows], dtype=np.str_)[row]
        return texts

    return Records(
        picture=column("key"),
        group=column("group"),
        split=column("split"),
        level=np.where(repetition > 0, later, level),
        label=np.array([each.label for each in rows], dtype=np.int64)[row],
        labels=(cascade.question.negative, cascade.question.positive),
        models=cascade.models,
        score=scores,
        answer=None,
        failed=np.isnan(scores),
        latency_ms=took,
        weight=np.where(np.isin(level, (CLEAN, Level.L0.value)), 1.0, 1.0 / repetitions),
        costs={
            "gmacs": np.array([card.cost.gmacs for card in cards]),
            "usd": np.array([card.cost.usd for card in cards]),
            "ms": took.mean(axis=0, dtype=np.float64),
        },
        unit=unit,
        sha256={card.name: card.digest for card in cards},
    )
