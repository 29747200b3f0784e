"""Prompts for vision-language models, as versioned data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Len

from natix_cascade.spec.base import Spec

__all__ = ["PromptSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSpec(Spec):
    """What a vision-language model is told.

    The system text comes first and is the same for every picture and model, so that a server's prefix cache holds it.

    Attributes
    ----------
    name, version : str
        Which prompt; a change of words is a new version.
    system : str
        Who answers, and by which rules; shared by all pictures.
    question : str
        Stands after the picture; asks for one of the two answers.
    think : str
        Stands in place of `question` where the model may think first.
    explain : str
        Asks for one sentence of reasons, after the answer.
    yes, no : tuple of str
        Spellings of the two answers, the preferred one first; their probabilities are summed.
    """

    name: Annotated[str, Len(1)]
    version: str = "1"
    system: str
    question: str
    think: str = ""
    explain: str = ""
    yes: Annotated[tuple[str, ...], Len(1)] = ("yes", "Yes", "YES")
    no: Annotated[tuple[str, ...], Len(1)] = ("no", "No", "NO")
