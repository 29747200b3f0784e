"""From a manifest to records: every picture, at every level of difficulty, scored by every model."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import PictureError
from natix_cascade.image import Level, Picture, challenge, decode
from natix_cascade.report.manifest import Row
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.loaded import LoadedCascade, cores

__all__ = ["CLEAN", "Failure", "Records", "collect", "seed_of"]

CLEAN = "clean"
"""Name of the level at which a picture is taken as it is."""

_VARIANTS_AT_A_TIME = 256  # 224 x 224 each: bounds the memory at some 40 MB, whatever the pictures' size


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be judged, and why."""

    name: str
    error: str


@dataclass(slots=True, eq=False)
class Records:
    """Scores of N variants of the pictures by M models; a variant is a picture at a level with one augmentation.

    Attributes
    ----------
    rows : list of Row
        The pictures, sorted by name.
    row : (N,) array of int
        Which picture.
    level : (N,) array of str
        ``clean`` or L0 to L3.
    repetition : (N,) array of int
        Which augmentation.
    scores : (N, M) array of float
        Uncalibrated P(positive) by column of the cascade; NaN where a model failed.
    variant_ms : (N, M) array of float32
        Milliseconds that each answer took: time of the batches that it was among, divided by their pictures.
    model_ms : (M,) array of float
        Milliseconds for one augmented picture, measured in batches.
    decode_ms : float
        Mean milliseconds to decode a file, at full size where there are augmented pictures.
    failures : list of Failure
        Pictures that could not be decoded; they have no variants.
    """

    rows: list[Row]
    row: NDArray[np.int64]
    level: NDArray[np.str_]
    repetition: NDArray[np.int64]
    scores: NDArray[np.float64]
    variant_ms: NDArray[np.float32]
    model_ms: NDArray[np.float64]
    decode_ms: float
    failures: list[Failure]


@dataclass(slots=True)
class _Variant:
    """One picture at one level, before the models see it."""

    level: str
    repetition: int
    picture: Picture


@dataclass(slots=True)
class _Prepared:
    """All variants of one row, or why there are none."""

    variants: list[_Variant] = field(default_factory=list)
    decode_ms: float = 0.0
    error: str | None = None


def seed_of(key: str, repetition: int, seed: int) -> int:
    """Seed of a picture's augmentation: from its name and the repetition, so that no order of rows matters.

    L1, L2 and L3 share it: they turn and crop a picture alike, and differ in the distortions only.
    """
    digest = hashlib.sha256(f"{seed}|{repetition}|{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def collect(
    loaded: LoadedCascade,
    rows: Sequence[Row],
    *,
    levels: Sequence[Level],
    repetitions: int,
    seed: int,
    flips: bool,
    clean: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Records:
    """Decode each picture once, make its variants, and ask every model about all of them.

    Parameters and errors as for `natix_cascade.report.evaluation.evaluate`; without `clean`, the pictures as they are
    are left out.
    """
    loaded.load_all()  # a model that is missing is an error of the command, and loading must not count as answering
    ordered = sorted(rows, key=lambda row: (row.key, str(row.path)))
    plan = [(CLEAN, 0)] if clean else []
    plan += [(level.value, k) for level in levels for k in range(1 if level is Level.L0 else repetitions)]
    members = len(loaded.resolved.members)
    scores: list[NDArray[np.float64]] = [np.empty((0, members))]
    took: list[NDArray[np.float32]] = [np.empty((0, members), np.float32)]
    where: list[tuple[int, str, int]] = []
    spent, timed, decoding = np.zeros(members), 0, 0.0
    failures: list[Failure] = []
    runner = BulkRunner(loaded)
    step = max(1, _VARIANTS_AT_A_TIME // len(plan))

    def prepare(row: Row) -> _Prepared:
        return _prepare(row, plan, short_side=loaded.short_side, seed=seed, flips=flips)

    try:
        with ThreadPoolExecutor(cores(), thread_name_prefix="natix-augment") as pool:
            for first in range(0, len(ordered), step):
                part = list(pool.map(prepare, ordered[first : first + step]))
                for is_clean in (True, False):  # apart: pictures as they are have other sizes and other times
                    chosen = list(_chosen(part, first, is_clean=is_clean))
                    if chosen:
                        answers, ms = runner.score([variant.picture for _, variant in chosen])
                        scores.append(answers)
                        took.append(np.tile(ms.astype(np.float32), (len(chosen), 1)))
                        where += [(index, variant.level, variant.repetition) for index, variant in chosen]
                        if not is_clean:
                            spent, timed = spent + ms * len(chosen), timed + len(chosen)
                for row, prepared in zip(ordered[first : first + step], part, strict=True):
                    decoding += prepared.decode_ms
                    if prepared.error is not None:
                        failures.append(Failure(row.key, prepared.error))
                if on_progress is not None:
                    on_progress(min(first + step, len(ordered)), len(ordered))
    finally:
        runner.close()
    return Records(
        rows=ordered,
        row=np.array([index for index, _, _ in where], dtype=np.int64),
        level=np.array([level for _, level, _ in where], dtype=np.str_),
        repetition=np.array([repetition for _, _, repetition in where], dtype=np.int64),
        scores=np.concatenate(scores),
        variant_ms=np.concatenate(took),
        model_ms=spent / max(timed, 1),
        decode_ms=decoding / max(len(ordered) - len(failures), 1),
        failures=failures,
    )


def _prepare(row: Row, plan: Sequence[tuple[str, int]], *, short_side: int, seed: int, flips: bool) -> _Prepared:
    names = {level for level, _ in plan}
    challenged, clean = bool(names - {CLEAN}), CLEAN in names
    began = time.perf_counter()
    try:
        whole = decode(row.path, short_side=None if challenged else short_side, id=row.key)
        taken = (time.perf_counter() - began) * 1000
        small = whole
        if challenged and clean and min(whole.pixels.shape[:2]) >= 2 * short_side:  # no more than the models need
            small = decode(row.path, short_side=short_side, id=row.key)
    except PictureError as error:
        return _Prepared(error=str(error))
    variants = []
    for level, repetition in plan:
        picture = small
        if level != CLEAN:
            pixels = challenge(whole.pixels, level, seed=seed_of(row.key, repetition, seed), flips=flips)
            picture = Picture(pixels, row.key, whole.sha256, "jpeg", pixels.shape[1], pixels.shape[0])
        variants.append(_Variant(level, repetition, picture))
    return _Prepared(variants, taken)


def _chosen(part: Sequence[_Prepared], first: int, *, is_clean: bool) -> Iterator[tuple[int, _Variant]]:
    for offset, prepared in enumerate(part):
        for variant in prepared.variants:
            if (variant.level == CLEAN) is is_clean:
                yield first + offset, variant
