"""Model cards: what is known of one model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Len

from natix_cascade.spec.base import Spec
from natix_cascade.spec.origin import Origin, Serving, Source
from natix_cascade.spec.task import Ask, Classify, Task

__all__ = ["Cost", "InputSpec", "ModelCard", "OutputSpec", "WeightsSpec"]

_Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec(Spec):
    """The one picture input of a model.

    Attributes
    ----------
    name : str
        The input's name in the graph.
    height, width : int
        Pixels.
    fit : {"stretch", "center_crop", "pad"}
        How a picture of another aspect becomes ``height x width``.
    layout : {"NHWC", "NCHW"}
        Order of the axes.
    dtype : {"uint8", "float32"}
        ``uint8`` takes raw pixels 0-255 (the graph normalises); ``float32`` takes ``(pixel / 255 - mean) / std``.
    mean, std : tuple of float
        Per channel, of pixels in [0, 1]; used with ``float32`` only.
    """

    name: str = "pixels"
    height: Annotated[int, Ge(8)]
    width: Annotated[int, Ge(8)]
    fit: Literal["stretch", "center_crop", "pad"] = "stretch"
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    dtype: Literal["uint8", "float32"] = "uint8"
    mean: _Triple = (0.0, 0.0, 0.0)
    std: _Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec(Spec):
    """The answer of a model and how it is read.

    Attributes
    ----------
    name : str
        The output's name in the graph.
    kind : {"logit", "probability", "logits", "probabilities"}
        ``logit`` and ``probability`` are one number a picture (of the positive class); ``logits`` (softmax is
        applied) and ``probabilities`` are one number a class, in the card's order of classes.
    heat_map : str or None
        An output of shape ``(n, h, w)``: evidence for the positive class by place, in log-odds.
    """

    name: str = "logit"
    kind: Literal["logit", "probability", "logits", "probabilities"] = "logit"
    heat_map: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec(Spec):
    """Where the weights are and how to know them again.

    Attributes
    ----------
    file : str
        Path, relative to the card's file (or inside the package for shipped models).
    sha256 : str
        Hex digest of the file; checked on load.
    bytes : int
        Size of the file.
    precision : {"fp32", "fp16", "int8"}
        Precision in which the weights are stored.
    """

    file: str
    sha256: Annotated[str, Len(64, 64)]
    bytes: Annotated[int, Gt(0)]
    precision: Literal["fp32", "fp16", "int8"] = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Spec):
    """What one answer costs.

    Attributes
    ----------
    gmacs : float
        Multiply-accumulates a picture, in units of 1e9.
    usd : float
        US dollars an answer, for models that are paid by the call.
    """

    gmacs: Annotated[float, Ge(0)] = 0.0
    usd: Annotated[float, Ge(0)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard(Spec):
    """What is known of one model.

    Attributes
    ----------
    name : str
        The name that cascades use.
    title, family, licence, notes : str
        For people.
    version : str
        Of this model.
    engine : str
        Which engine runs it; see ``natix_cascade.models``.
    parameters : int
        Number of weights.
    classes : tuple of str
        Class names in the order of the output.
    positive : str
        The class that the question asks for; one of `classes`.
    input, output, cost
        See their own types.
    weights : WeightsSpec or None
        One file of weights that belongs to the card.
    source : Source or None
        For models whose weights are fetched or linked in.
    serving : Serving or None
        What serves it and the memory that it takes.
    origin : Origin or None
        Its place in the catalogue.
    task : Classify, Detect, Find, Tell, ZeroShot, Depth or Ask
        What it is asked for, and how the answer becomes P(positive).
    roles : dict
        Other tasks of the same weights, by name: a cascade calls them ``card:role``.
    trained : bool
        Trained by the project or its user (not a stock model).
    data : str
        What it was trained on.
    metrics : dict
        Figures measured by this project, name to value.
    """

    name: Annotated[str, Len(1)]
    title: str = ""
    version: str = "1"
    engine: str = "onnx"
    family: str = ""
    licence: str
    parameters: Annotated[int, Ge(0)] = 0
    classes: tuple[str, ...] = ("none", "roadwork")
    positive: str = "roadwork"
    input: InputSpec
    output: OutputSpec = field(default_factory=OutputSpec)
    weights: WeightsSpec | None = None
    source: Source | None = None
    serving: Serving | None = None
    origin: Origin | None = None
    task: Task = field(default_factory=Classify)
    roles: dict[str, Task] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    trained: bool = False
    data: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    notes: str = ""

    @property
    def digest(self) -> str:
        """What tells these weights from others: sha256 of the file, else the pinned revision, else nothing."""
        if self.weights is not None:
            return self.weights.sha256
        return (self.source.revision if self.source is not None else None) or ""

    @property
    def is_remote(self) -> bool:
        """Whether a server is asked rather than weights loaded here."""
        return isinstance(self.task, Ask)

    def in_role(self, role: str) -> ModelCard:
        """The card of the same weights for another of its tasks; its name is ``card:role``."""
        return replace(self, name=f"{self.name}:{role}", task=self.roles[role], roles={})
