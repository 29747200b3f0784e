"""From cases to the rows of a data set that is looked at: plain data, whatever library shows it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from natix_cascade.decide.verdict import Verdict
from natix_cascade.observe.cases import Case
from natix_cascade.observe.hard import HARD, hardness
from natix_cascade.spec.cascade import Question

__all__ = ["OWN_TAGS", "Mark", "SampleRow", "Seen", "opinion_field", "question_of", "row_of"]

OWN_TAGS = ("hard", "degraded")
"""Tags that come and go with the verdict; others belong to whoever set them."""

_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A class and how sure it is: `label`, `confidence` in [0, 1], and P(positive) where it is known."""

    label: str
    confidence: float | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A box: left, top, width and height as shares of the picture, 0 to 1; who saw what, and how sure."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """One picture of the data set.

    Attributes
    ----------
    filepath, sha256 : str
        The file, absolute; and the digest of what was judged, which names the row.
    truth : Mark or None
        What is true, in the question's words.
    verdict : Mark
        What the cascade said.
    opinions : dict
        By model: what each said; None where it gave no probability.
    seen : tuple of Seen
        Boxes of all models.
    place : tuple of float or None
        Longitude and latitude in degrees, in this order (GeoJSON).
    values : dict
        Further fields by name: numbers, text, lists of text.
    tags : tuple of str
        The split, and `OWN_TAGS` where they hold.
    """

    filepath: str
    sha256: str
    truth: Mark | None
    verdict: Mark
    opinions: dict[str, Mark | None]
    seen: tuple[Seen, ...]
    place: tuple[float, float] | None
    values: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The same for the same row: what is in the data set already need not be written again."""
        plain = json.dumps(self, default=_parts, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:32]


def question_of(id: str) -> Question:  # noqa: A002  # the field's name
    """The question of an id: the default one where it has this id; else its id is the word for yes."""
    known = Question()
    return known if id == known.id else Question(id=id, text=id, positive=id, negative=f"no {id}")


def opinion_field(model: str, taken: Mapping[str, str]) -> str:
    """Name of a model's field: ``opinion_`` and the model's letters and digits; numbered where two would be alike.

    Parameters
    ----------
    model : str
        As in the verdict: ``name`` or ``name:role``.
    taken : mapping
        Fields that there are, to their models.
    """
    stem = "opinion_" + re.sub(r"\W+", "_", model, flags=re.ASCII).strip("_")
    name, number = stem, 1
    while taken.get(name, model) != model:
        number += 1
        name = f"{stem}_{number}"
    return name


def row_of(case: Case, question: Question) -> SampleRow:
    """The row of a case."""
    verdict = case.verdict
    hard = hardness(verdict, case.truth)
    tags = [case.split] if case.split else []
    tags += [tag for tag, held in zip(OWN_TAGS, (hard >= HARD, verdict.degraded), strict=True) if held]
    answer = _mark(verdict.probability, question)
    return SampleRow(
        filepath=str(case.picture),
        sha256=verdict.sha256,
        truth=None if case.truth is None else Mark(label=_word(case.truth, question)),
        verdict=Mark(
            label=_word(verdict.detected, question), confidence=verdict.confidence, probability=answer.probability
        ),
        opinions={
            opinion.model: None if opinion.probability is None else _mark(opinion.probability, question)
            for opinion in verdict.opinions
        },
        seen=tuple(_seen(verdict)),
        place=None if case.place is None else (case.place[1], case.place[0]),
        values=_values(case, hard),
        tags=tuple(tags),
    )


def _values(case: Case, hard: float) -> dict[str, Any]:
    verdict = case.verdict
    return {
        "name": case.name,
        "hardness": round(hard, _DIGITS),
        "consensus": verdict.consensus_ratio,
        "degraded": verdict.degraded,
        "exit_level": verdict.exit_level,
        "exit_reason": verdict.exit_reason or None,
        "levels_executed": list(verdict.levels_executed),
        "reasons": list(verdict.reasons),
        "silent_models": [opinion.model for opinion in verdict.opinions if opinion.probability is None],
        "latency_ms": verdict.latency_ms,
        "cost_usd": verdict.cost_usd,
        "gmacs": verdict.gmacs,
        "group": case.group or None,
        "split": case.split or None,
        "verdict_id": case.verdict_id,
        "judged": case.created,
        "cascade": verdict.cascade,
        "policy": verdict.policy,
    }


def _word(yes: bool, question: Question) -> str:  # noqa: FBT001  # the value, not a flag
    return question.positive if yes else question.negative


def _mark(probability: float, question: Question) -> Mark:
    return Mark(
        label=_word(probability >= 0.5, question),  # noqa: PLR2004  # where yes begins
        confidence=max(probability, 1 - probability),
        probability=probability,
    )


def _seen(verdict: Verdict) -> list[Seen]:
    return [
        Seen(
            label=box.label,
            confidence=box.score,
            box=(box.x0, box.y0, max(box.x1 - box.x0, 0.0), max(box.y1 - box.y0, 0.0)),
            model=opinion.model,
        )
        for opinion in verdict.opinions
        if opinion.evidence is not None
        for box in opinion.evidence.boxes
    ]


def _parts(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__slots__}
