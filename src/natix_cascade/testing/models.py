"""Scripted models: a cascade whose models say what a test wants, when it wants it, and fail on command.

Examples
--------
>>> from natix_cascade.testing import ScriptedModel, scripted_cascade
>>> cheap, dear = ScriptedModel("cheap", 0.6), ScriptedModel("dear", 0.99, fault="error", every=3)
>>> resolved, models = scripted_cascade([cheap, dear])
>>> resolved.models
('cheap', 'dear')

Give both to ``LoadedCascade(resolved, {}, models=models)``; afterwards ``dear.calls`` says how often it was asked.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.models.base import Answers, Model
from natix_cascade.spec.card import Cost, InputSpec, ModelCard, WeightsSpec
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec, Question
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import ResolvedCascade, resolve
from natix_cascade.spec.rules import ExitRule, Threshold, VoteSpec

__all__ = ["Fault", "Script", "ScriptedLevel", "ScriptedModel", "make_card", "pixels_digest", "scripted_cascade"]

Pixels: TypeAlias = NDArray[np.uint8]
Script: TypeAlias = (
    float | Sequence[float] | Mapping[str | tuple[int, int, int], float] | Callable[[NDArray[np.uint8]], float]
)
"""Where scores come from; see `ScriptedModel`."""
Fault: TypeAlias = Literal["error", "nan", "short", "long", "hang"]
"""What goes wrong; see `ScriptedModel`."""

_YES, _NO = 0.9, 0.1  # the exit rule of a level where none is given


class ScriptedModel:
    """A model that says what it is told to; fulfils `natix_cascade.models.Model`.

    Parameters
    ----------
    name : str
        The card's name.
    answers : float, sequence, mapping or callable
        P(positive): one number for all; a sequence, of which each picture takes the next (again from the start after
        the last); a mapping from `pixels_digest` (str) or from a colour (red, green, blue) to a number, where a
        picture whose digest is not named takes that of the colour nearest to its mean; or a function of the pixels
        ``(H, W, 3)``.
    positive, negative : str
        The two classes; `positive` is what the question asks for.
    card : ModelCard or None
        Instead of the one that `make_card` makes of name and classes.
    delay_s : float
        How long each call takes at least, in seconds.
    fault : {"error", "nan", "short", "long", "hang"}, Exception or None
        What goes wrong: a ModelError, NaN for every picture, one answer too few or too many, or a call that does not
        return until `release` is set (it then answers). An exception is raised as it is.
    every : int
        Only each call of this number has the fault (1: all calls; 3: the third, the sixth, ...).
    heat_map : array, callable or None
        ``(h, w)`` log-odds by place for every picture, or a function of the pixels that returns them; given out with
        ``explain=True`` only.

    Attributes
    ----------
    release : threading.Event
        Ends every hang, present and future; `close` sets it too.

    Raises
    ------
    ValueError
        The script is empty, `every` is below 1, or there is no such fault.
    """

    def __init__(
        self,
        name: str,
        answers: Script = 0.5,
        *,
        positive: str = "roadwork",
        negative: str = "none",
        card: ModelCard | None = None,
        delay_s: float = 0.0,
        fault: Fault | Exception | None = None,
        every: int = 1,
        heat_map: NDArray[np.floating] | Callable[[Pixels], NDArray[np.floating]] | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every is {every}, wanted 1 or more")
        if isinstance(fault, str) and fault not in get_args(Fault):
            raise ValueError(f"unknown fault {fault!r}; known are {', '.join(get_args(Fault))}")
        if isinstance(answers, Sequence | Mapping) and not answers:
            raise ValueError(f"the script of {name!r} is empty; give at least one answer")
        self._card = card or make_card(name, positive=positive, negative=negative)
        self._answers = answers
        self._delay = delay_s
        self._fault = fault
        self._every = every
        self._heat_map = heat_map
        self._lock = threading.Lock()
        self._batches: list[int] = []
        self._given = 0
        self._closed = 0
        self.release = threading.Event()

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        return self._card

    @property
    def calls(self) -> int:
        """How often `predict` was called, failures included."""
        with self._lock:
            return len(self._batches)

    @property
    def batches(self) -> tuple[int, ...]:
        """Pictures of each call of `predict`."""
        with self._lock:
            return tuple(self._batches)

    @property
    def pictures(self) -> int:
        """How many pictures it was asked about; one that came twice counts twice."""
        return sum(self.batches)

    @property
    def closed(self) -> int:
        """How often it was closed."""
        with self._lock:
            return self._closed

    def prepare(self, pixels: Pixels) -> NDArray[np.generic]:
        """One picture as it is: scripts see all of it."""
        return np.ascontiguousarray(pixels)

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer as the script says, or fail as it says."""
        with self._lock:
            self._batches.append(len(batch))
            fault = self._fault if len(self._batches) % self._every == 0 else None
        if self._delay:
            time.sleep(self._delay)
        if fault == "hang":
            self.release.wait()
        if isinstance(fault, Exception):
            raise fault
        if fault == "error":
            raise ModelError(f"model {self._card.name!r} failed, as its script says")
        pictures = [np.asarray(item, np.uint8) for item in batch]
        scores = np.array([np.nan if fault == "nan" else self._score(pixels) for pixels in pictures], np.float64)
        if fault == "short":
            scores = scores[:-1]
        if fault == "long":
            scores = np.append(scores, 0.5)
        heat_map = self._heat_map if explain else None
        if heat_map is None:
            return Answers(scores)
        maps = [heat_map(pixels) if callable(heat_map) else heat_map for pixels in pictures]
        return Answers(scores, np.stack(maps).astype(np.float32))

    def close(self) -> None:
        """Free whoever hangs; calling it twice is harmless."""
        with self._lock:
            self._closed += 1
        self.release.set()

    def _score(self, pixels: Pixels) -> float:
        answers = self._answers
        if callable(answers):
            return float(answers(pixels))
        if isinstance(answers, Mapping):
            return float(self._looked_up(answers, pixels))
        if isinstance(answers, Sequence):
            with self._lock:
                self._given += 1
                return float(answers[(self._given - 1) % len(answers)])
        return float(answers)

    def _looked_up(self, answers: Mapping[str | tuple[int, int, int], float], pixels: Pixels) -> float:
        digest = pixels_digest(pixels)
        if digest in answers:
            return answers[digest]
        mean = pixels.reshape(-1, 3).mean(axis=0)
        colours = [key for key in answers if not isinstance(key, str)]
        if not colours:
            raise ModelError(f"model {self._card.name!r}: its script knows no picture {digest}")
        return answers[min(colours, key=lambda colour: float(np.abs(mean - colour).sum()))]


def pixels_digest(pixels: Pixels) -> str:
    """Digest by which a script knows a picture: sha256 (hex) of its shape and its RGB pixels ``(H, W, 3)``."""
    return hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def make_card(
    name: str,
    *,
    positive: str = "roadwork",
    negative: str = "none",
    side: int = 32,
    gmacs: float = 0.0,
    usd: float = 0.0,
) -> ModelCard:
    """A valid card for a model that exists in a test only.

    Parameters
    ----------
    name : str
        The name that cascades use.
    positive, negative : str
        The two classes.
    side : int
        Height and width of the input, in pixels.
    gmacs, usd : float
        Cost of an answer.

    Returns
    -------
    ModelCard
        With the engine "scripted", which `load_model` does not know: give the model itself.
    """
    return ModelCard(
        name=name,
        engine="scripted",
        licence="none",
        classes=(negative, positive),
        positive=positive,
        input=InputSpec(height=side, width=side),
        weights=WeightsSpec(file=f"{name}.none", sha256="0" * 64, bytes=1),
        cost=Cost(gmacs=gmacs, usd=usd),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedLevel:
    """A level of `scripted_cascade` where more than its models is said.

    Attributes
    ----------
    models : tuple of ScriptedModel
        Asked together.
    name : str or None
        None: "level-1", "level-2" and so on.
    exit : Threshold, Agreement, Window or None
        When a picture leaves here.
    weights : dict
        Vote weight by model name; 1 where nothing is said.
    bands : dict
        Band by model name, for mode "one".
    optional : frozenset of str
        Models whose failure does not degrade the verdict.
    mode, vote, budget_ms, on_failure
        As in `LevelSpec`.
    """

    models: tuple[ScriptedModel, ...]
    name: str | None = None
    exit: ExitRule | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    mode: Literal["all", "one", "until-agreement"] = "all"
    vote: VoteSpec = field(default_factory=VoteSpec)
    budget_ms: float | None = None
    on_failure: Literal["drop", "escalate", "abort"] = "drop"


def scripted_cascade(
    levels: Sequence[ScriptedModel | Sequence[ScriptedModel] | ScriptedLevel],
    *,
    question: Question | None = None,
    threshold: float = 0.5,
    deadline_ms: float | None = None,
    policy: Policy | None = None,
    name: str = "scripted",
) -> tuple[ResolvedCascade, dict[str, Model]]:
    """Build a cascade of scripted models.

    Parameters
    ----------
    levels : sequence
        Each a model, several models that are asked together, or a `ScriptedLevel`. The first two forms let a picture
        out at ``p >= 0.9`` and ``p <= 0.1``.
    question : Question or None
        None: the one that the first model's classes stand for.
    threshold : float
        Yes begins here.
    deadline_ms : float or None
        Time for one picture.
    policy : Policy or None
        Applied to it; made for the cascade `name`.
    name : str
        Of the cascade.

    Returns
    -------
    resolved : ResolvedCascade
    models : dict
        Name to model, for ``LoadedCascade(resolved, {}, models=models)``.

    Raises
    ------
    SpecError
        The levels do not make a cascade; see `natix_cascade.spec.resolved.resolve`.
    """
    plans = [_plan(level, threshold) for level in levels]
    models = {model.card.name: model for plan in plans for model in plan.models}
    specs = tuple(
        LevelSpec(
            name=plan.name or f"level-{number}",
            members=tuple(_member(plan, model.card.name) for model in plan.models),
            mode=plan.mode,
            vote=plan.vote,
            exit=plan.exit,
            budget_ms=plan.budget_ms,
            on_failure=plan.on_failure,
        )
        for number, plan in enumerate(plans, 1)
    )
    cascade = CascadeSpec(
        name=name,
        question=question or _question(next(iter(models.values()), None)),
        levels=specs,
        threshold=threshold,
        deadline_ms=deadline_ms,
    )
    resolved = resolve(cascade, {key: model.card for key, model in models.items()}, policy)
    return resolved, dict(models)


def _plan(level: ScriptedModel | Sequence[ScriptedModel] | ScriptedLevel, threshold: float) -> ScriptedLevel:
    if isinstance(level, ScriptedLevel):
        return level
    rule = Threshold(yes=max(_YES, threshold), no=min(_NO, threshold / 2))
    return ScriptedLevel(models=(level,) if isinstance(level, ScriptedModel) else tuple(level), exit=rule)


def _member(plan: ScriptedLevel, name: str) -> MemberSpec:
    weight, required = plan.weights.get(name, 1.0), name not in plan.optional
    return MemberSpec(model=name, weight=weight, band=plan.bands.get(name), required=required)


def _question(model: ScriptedModel | None) -> Question:
    if model is None or model.card.positive == Question().positive:
        return Question()
    positive = model.card.positive
    negative = next((each for each in model.card.classes if each != positive), "none")
    return Question(id=positive, text=f"Is it {positive}?", positive=positive, negative=negative)
