"""What a judge is told to look at, as versioned data: a change of words is a new version."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Gt, Len

from natix_cascade.errors import SpecError
from natix_cascade.spec.base import Spec
from natix_cascade.spec.files import read_spec

__all__ = ["Criterion", "Rubric", "load_rubric", "shipped_rubrics"]

_FOLDER = Path(__file__).parents[1] / "rubrics"
_DIGITS = 16
Words = Annotated[str, Len(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion(Spec):
    """One thing to weigh.

    Attributes
    ----------
    name : str
        A few words.
    text : str
        What to look for.
    weight : float
        What it counts beside the others.
    """

    name: Words
    text: Words
    weight: Annotated[float, Gt(0)] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric(Spec):
    """How verdicts on one question are judged.

    Attributes
    ----------
    name, version : str
        Which rubric; scores under different ones are never mixed.
    about : str
        Id of the cascade's question; verdicts on other questions are not judged by it.
    question : str
        The question, in words.
    yes, no : str
        What either answer claims, such as "there is roadwork".
    rules : str
        Who judges, and what the words of the question mean.
    criteria : tuple of Criterion
        What to weigh.
    right : str
        When an answer counts as right.
    abstain : str
        When not to give a score.
    blind : bool
        The judge sees the picture alone and says how likely yes is; the score is the likelihood of the answer that the
        verdict gave. Else it sees the verdict and its evidence too, and scores it.
    """

    name: Words
    version: Words = "1"
    about: Words
    question: Words
    yes: Words
    no: Words
    rules: Words
    criteria: Annotated[tuple[Criterion, ...], Len(1)]
    right: Words
    abstain: Words
    blind: bool = False

    @property
    def title(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of all its fields: tells versions apart that bear one name."""
        told = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(told.encode()).hexdigest()[:_DIGITS]


def shipped_rubrics() -> tuple[str, ...]:
    """Names of the rubrics that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_rubric(rubric: str | Path) -> Rubric:
    """Load a rubric by shipped name or by file.

    Raises
    ------
    SpecError
        It is neither, or not a rubric; the text names file, line and key.
    """
    known = shipped_rubrics()
    if str(rubric) in known:
        return read_spec(_FOLDER / f"{rubric}.yaml", Rubric)
    path = Path(rubric)
    if not path.is_file():
        raise SpecError(f"no rubric {str(rubric)!r}: neither a file nor one of {', '.join(known)}")
    return read_spec(path, Rubric)
