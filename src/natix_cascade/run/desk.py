"""Who takes the questions to one copy of a model, and what an answer is."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence
from natix_cascade.errors import ModelError
from natix_cascade.models.base import Answers, Model

__all__ = ["NEARLY", "Answer", "Desk", "HangError", "check_answers", "one_answer", "score_problem"]

NEARLY: Final = 0.9  # a picture's own clock runs a little ahead of its call's


class HangError(TimeoutError):
    """No answer in time, and it is the model's fault: it did nothing else for longer than is usual."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One picture's share of a batch's answers.

    Attributes
    ----------
    score : float or None
        P(positive), not calibrated; None: the model has no opinion of this picture.
    heat_map : NDArray or None
        ``(h, w)`` evidence by place, in log-odds.
    latency_ms : float
        From the question to the answer.
    evidence : Evidence or None
        What it saw.
    cost_usd : float or None
        Of this answer; None: as the card says.
    queue_ms : float
        Of the latency, what passed before the model took the question up.
    batch_size : int
        Questions that the model answered together with this one, itself included.
    """

    score: float | None
    latency_ms: float
    heat_map: NDArray[np.float32] | None = None
    evidence: Evidence | None = None
    cost_usd: float | None = None
    queue_ms: float = 0.0
    batch_size: int = 1


class Desk(Protocol):
    """Takes questions to one copy of a model: a `Batcher` where it computes, `Flights` where a server is asked.

    Safe for many threads and event loops.

    Attributes
    ----------
    renewals : int
        How often what hung was left behind.
    """

    renewals: int

    @property
    def waiting(self) -> int:
        """Questions that nobody works on yet."""
        ...

    @property
    def under_way(self) -> int:
        """What the model works on."""
        ...

    def running_for(self) -> float:
        """Seconds that the longest call under way has taken so far; 0 when there is none."""
        ...

    def submit(self, pixels: NDArray[np.uint8], *, explain: bool = False) -> Future[Answer]:
        """Ask about one upright RGB picture ``(H, W, 3)``; a future that is cancelled frees its place."""
        ...

    async def ask(self, pixels: NDArray[np.uint8], *, explain: bool = False, timeout_s: float | None = None) -> Answer:
        """As `submit`, from a coroutine; one that is cancelled, or waits no longer, frees its place.

        Raises
        ------
        TimeoutError
            No answer in time.
        QueueFullError
            Too many questions wait already.
        ModelError
            The model failed, or is closed.
        """
        ...

    async def ask_patiently(
        self, pixels: NDArray[np.uint8], *, explain: bool, until: float, patience_s: float
    ) -> Answer:
        """As `ask`, with a deadline (of `time.perf_counter`) for the picture, and a limit for one call of the model.

        Raises
        ------
        HangError
            The model took longer than `patience_s`.
        TimeoutError
            The deadline passed, but the model works.
        """
        ...

    def renew(self) -> bool:
        """Leave what hangs behind and begin anew; whether that was possible."""
        ...

    def close(self, limit_s: float = 10.0) -> None:
        """Answer what waits, at most so long, then end."""
        ...


def check_answers(model: Model, answers: Answers, wanted: int) -> None:
    """See that a batch's answers are one for each of its pictures.

    Raises
    ------
    ModelError
        They are fewer or more.
    """
    if np.shape(answers.scores) != (wanted,):
        shape = np.shape(answers.scores)
        given = f"{shape[0]} answers" if len(shape) == 1 else f"answers of shape {shape}"
        raise ModelError(f"model {model.card.name!r} gave {given} to {wanted} pictures")
    for what, parts in (
        ("heat maps", answers.heat_maps),
        ("pieces of evidence", answers.evidence),
        ("marks of silence", answers.silent),
        ("costs", answers.costs),
    ):
        if parts is not None and len(parts) != wanted:
            raise ModelError(f"model {model.card.name!r} gave {len(parts)} {what} to {wanted} pictures")


def one_answer(
    model: Model, answers: Answers, index: int, latency_ms: float, *, explain: bool, queue_ms: float = 0.0
) -> Answer | ModelError:
    """One picture's share of a batch's answers, or what is wrong with it."""
    silent = answers.silent is not None and bool(answers.silent[index])
    score = None if silent else float(answers.scores[index])
    problem = None if score is None else score_problem(model, score)
    if problem is not None:
        return ModelError(problem)
    return Answer(
        score,
        latency_ms,
        heat_map=answers.heat_maps[index] if explain and answers.heat_maps is not None else None,
        evidence=answers.evidence[index] if answers.evidence is not None else None,
        cost_usd=float(answers.costs[index]) if answers.costs is not None else None,
        queue_ms=queue_ms,
        batch_size=len(answers.scores),
    )


def score_problem(model: Model, score: float) -> str | None:
    """What is wrong with a score, or None: NaN and numbers outside 0 to 1 are no answers."""
    return None if 0 <= score <= 1 else f"model {model.card.name!r} answered {score:g}, which is no probability"
