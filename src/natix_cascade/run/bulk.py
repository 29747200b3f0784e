"""Many pictures level by level in large batches: the engine of `scan` and `evaluate`."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import advance, rounds, start, wanted
from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.errors import CascadeError, ModelError
from natix_cascade.image import Picture
from natix_cascade.models.base import Model
from natix_cascade.run.desk import Answer, check_answers, one_answer
from natix_cascade.run.loaded import LoadedCascade, cores
from natix_cascade.run.verdicts import Ended, make_verdicts
from natix_cascade.spec.resolved import Level, Member

if TYPE_CHECKING:
    from natix_cascade.run.crowd import Crowd

__all__ = ["BulkRunner", "Spent"]


@dataclass(slots=True)
class Spent:
    """Where the time went, in seconds of the calling thread.

    Attributes
    ----------
    by_model : dict
        Preparing and asking, by model.
    overhead : float
        Everything else: arithmetic of decisions, verdicts.
    pictures : int
        How many pictures.
    """

    by_model: dict[str, float] = field(default_factory=dict)
    overhead: float = 0.0
    pictures: int = 0


class BulkRunner:
    """Judges lists of pictures, one level after the other, each model in batches.

    Parameters
    ----------
    loaded : LoadedCascade
        The cascade and its models; load it with ``threads=1``, for batches of one model run in parallel here.
    batch : int
        Most pictures in one call of a model; more is no faster on a CPU and takes more memory.
    """

    def __init__(self, loaded: LoadedCascade, *, batch: int = 8) -> None:
        self.loaded = loaded
        self.batch = batch
        self.spent = Spent()
        self._workers = cores()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="natix-bulk")
        self._crowd: Crowd | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the worker threads; the models stay loaded."""
        self._pool.shutdown()
        if self._crowd is not None:
            self._crowd.close()

    def judge(self, pictures: Sequence[Picture]) -> list[Verdict | CascadeError]:
        """Verdicts in the order of the pictures; an error for a picture that no model could judge.

        Models that fail are dropped for the pictures concerned, as the cascade says.
        """
        began = time.perf_counter()
        models_before = sum(self.spent.by_model.values())
        cascade = self.loaded.resolved
        progress = start(cascade, len(pictures))
        opinions: list[list[Opinion]] = [[] for _ in pictures]
        for turn in rounds(cascade):
            if (progress.exit_level >= 0).all():
                break
            ask = wanted(cascade, progress, turn)
            scores, failed = np.full(ask.shape, np.nan), np.zeros(ask.shape, bool)
            level = cascade.levels[turn.level]
            answers = []
            for k, member in enumerate(cascade.members[turn.first : turn.last]):
                index = np.flatnonzero(ask[:, k])
                if len(index):
                    given, ms = self._ask(member, [pictures[int(i)].pixels for i in index])
                    scores[index, k] = [_score(answer) for answer in given]
                    failed[index, k] = [isinstance(answer, str) for answer in given]
                    answers.append((member, index, given, ms))
            advance(cascade, progress, turn, scores, failed)
            for member, index, given, ms in answers:
                for i, answer in zip(index, given, strict=True):
                    p = float(progress.opinions[i, member.column])
                    opinions[i].append(self._opinion(level, member, answer, p, ms))
        ended = [
            Ended(picture.id, picture.sha256, given, sum(o.latency_ms for o in given))
            for picture, given in zip(pictures, opinions, strict=True)
        ]
        verdicts = make_verdicts(cascade, progress, ended)
        models = sum(self.spent.by_model.values()) - models_before
        self.spent.overhead += time.perf_counter() - began - models
        self.spent.pictures += len(pictures)
        return verdicts

    def score(self, pictures: Sequence[Picture]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ask every model about every picture, whatever the exits say: the records that tables are made of.

        Returns
        -------
        scores : NDArray
            ``(n, M)`` uncalibrated P(positive) in the order of the cascade's columns; NaN where a model failed.
        milliseconds : NDArray
            ``(M,)`` for one picture, measured here in batches.
        """
        pixels = [picture.pixels for picture in pictures]
        members = self.loaded.resolved.members
        scores, spent = np.full((len(pictures), len(members)), np.nan), np.zeros(len(members))
        for member in members:
            answers, ms = self._ask(member, pixels)
            scores[:, member.column] = [_score(answer) for answer in answers]
            spent[member.column] = ms
        return scores, spent

    def _opinion(self, level: Level, member: Member, answer: Answer | str, probability: float, ms: float) -> Opinion:
        card, said = self.loaded.resolved.cards[member.model], None if isinstance(answer, str) else answer
        paid = said.cost_usd if said is not None else None
        return Opinion(
            model=member.model,
            level=level.name,
            score=said.score if said is not None else None,
            probability=probability if said is not None and said.score is not None else None,
            latency_ms=ms,
            cost_usd=card.cost.usd if paid is None else paid,
            gmacs=card.cost.gmacs,
            failure=answer if isinstance(answer, str) else None,
            evidence=said.evidence if said is not None else None,
        )

    def _ask(self, member: Member, pixels: list[NDArray[np.uint8]]) -> tuple[list[Answer | str], float]:
        """An answer or a failure for each picture, and milliseconds for each picture."""
        began = time.perf_counter()
        if self.loaded.resolved.cards[member.model].is_remote:
            answers = self._servers().ask(member.model, pixels)
        else:
            answers = self._compute(member.model, pixels)
        seconds = time.perf_counter() - began
        self.spent.by_model[member.model] = self.spent.by_model.get(member.model, 0.0) + seconds
        return answers, seconds * 1000 / max(len(pixels), 1)

    def _servers(self) -> Crowd:
        """For models that are not computed here; begun with the first of them."""
        from natix_cascade.run.crowd import Crowd  # noqa: PLC0415  # a lone picture does without asyncio

        with self._lock:
            if self._crowd is None:
                self._crowd = Crowd(self.loaded)
            return self._crowd

    def _compute(self, name: str, pixels: list[NDArray[np.uint8]]) -> list[Answer | str]:
        """Ask a model that runs here."""
        answers: list[Answer | str] = [""] * len(pixels)
        try:
            model = self.loaded.model(name)
        except Exception as error:  # noqa: BLE001  # whatever it is, the model cannot be asked and drops out
            return [str(error) or type(error).__name__] * len(pixels)
        # batches in parallel, each on one thread, use small cores better than one batch on many threads
        step = min(self.batch, -(-len(pixels) // self._workers))
        parts = [slice(first, first + step) for first in range(0, len(pixels), step)]
        if len(parts) == 1:
            self._ask_batch(model, pixels, parts[0], answers)
        else:
            list(self._pool.map(lambda part: self._ask_batch(model, pixels, part, answers), parts))
        return answers

    def _ask_batch(
        self, model: Model, pixels: list[NDArray[np.uint8]], part: slice, answers: list[Answer | str]
    ) -> None:
        try:
            inputs = [model.prepare(item) for item in pixels[part]]
            given = model.predict(inputs)
            check_answers(model, given, len(inputs))
        except Exception as error:  # noqa: BLE001  # an engine may fail in any way; the picture must not be lost
            size = len(pixels[part])
            if size == 1:
                answers[part] = [str(error) or type(error).__name__]
                return
            for offset in range(size):  # one bad picture must not spoil the others
                one = slice(part.start + offset, part.start + offset + 1)
                self._ask_batch(model, pixels, one, answers)
            return
        each = [one_answer(model, given, index, 0.0, explain=False) for index in range(len(inputs))]
        answers[part] = [str(item) if isinstance(item, ModelError) else item for item in each]


def _score(answer: Answer | str) -> float:
    """NaN for a failure and where there is no opinion."""
    return np.nan if isinstance(answer, str) or answer.score is None else answer.score
