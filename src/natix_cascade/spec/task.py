"""What a model is asked for, and how its answer becomes P(positive): the `task` of a card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Len

from natix_cascade.spec.base import Spec

__all__ = ["Ask", "Classify", "Depth", "Detect", "Find", "Task", "Tell", "ZeroShot"]

Probability = Annotated[float, Interval(ge=0, le=1)]
_Words = Annotated[tuple[str, ...], Len(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classify(Spec):
    """The model itself answers yes or no; see `OutputSpec`.

    Attributes
    ----------
    dark_below : float or None
        A night specialist: it has an opinion only of pictures whose mean luminance (0 to 1) is below this.
    """

    kind: Literal["classify"] = "classify"
    dark_below: Probability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detect(Spec):
    """Boxes of a fixed set of labels, each as strong as its label's weight times its score.

    What is seen is 1 - product over boxes of (1 - weight * score); P goes from `low` (nothing) to `high` (certain).

    Attributes
    ----------
    evidence : dict
        Label to weight: how strongly one certain box of it speaks for the positive class.
    labels : tuple of str
        The labels in the order of the output, where the weights do not say (ONNX graphs).
    layout : {"yolo", "yolo_end_to_end", "detr"}
        For ONNX graphs. ``yolo``: ``(n, 4 + labels, anchors)`` with centre and size in input pixels, suppressed
        here; ``yolo_end_to_end``: ``(n, boxes, 6)`` corners in input pixels, score, label; ``detr``: logits
        ``(n, queries, labels)`` in the card's output, one more column being "nothing", and ``boxes``, ``dets`` or
        ``pred_boxes`` ``(n, queries, 4)`` centre and size in 0 to 1.
    min_score : float
        Weaker boxes are no evidence.
    low, high : float
        P when nothing is seen, and when something certain is: a detector that knows no cones says little either way.
    """

    kind: Literal["detect"] = "detect"
    evidence: dict[str, Probability] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    layout: Literal["yolo", "yolo_end_to_end", "detr"] = "detr"
    min_score: Probability = 0.25
    low: Probability = 0.05
    high: Probability = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Spec):
    """Boxes or masks of what is named in words; P as for `Detect`, with a weight for every prompt.

    Attributes
    ----------
    prompts : dict
        Words to weight.
    min_score : float
        Weaker finds are no evidence.
    masks : bool
        Also say which pixels.
    low, high : float
        As in `Detect`.
    """

    kind: Literal["find"] = "find"
    prompts: dict[str, Probability]
    min_score: Probability = 0.3
    masks: bool = False
    low: Probability = 0.05
    high: Probability = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell(Spec):
    """Text about or in the picture; P as for `Detect`, with a weight for every term that occurs in it.

    Attributes
    ----------
    prompt : str
        What the model is told, such as Florence-2's ``<DETAILED_CAPTION>`` or ``<OCR_WITH_REGION>``.
    terms : dict
        Words (lower case, matched as whole words) to weight.
    low, high : float
        As in `Detect`.
    max_tokens : int
        Most tokens of text.
    """

    kind: Literal["tell"] = "tell"
    prompt: str
    terms: dict[str, Probability]
    low: Probability = 0.1
    high: Probability = 0.97
    max_tokens: Annotated[int, Ge(1)] = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShot(Spec):
    """Similarity of the picture to two groups of sentences.

    Attributes
    ----------
    positive, negative : tuple of str
        P is the share of the positive group in the softmax over all.
    """

    kind: Literal["zero_shot"] = "zero_shot"
    positive: _Words
    negative: _Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth(Spec):
    """Things that stand up from the plane of the road; P grows with the share of the road that they cover.

    Attributes
    ----------
    height : float
        How far (in units of the plane's own inverse depth) a pixel must stand out.
    half : float
        The share of the road at which P is half-way from `low` to `high`.
    low, high : float
        As in `Detect`.
    """

    kind: Literal["depth"] = "depth"
    height: Annotated[float, Gt(0)] = 0.15
    half: Annotated[float, Interval(gt=0, lt=1)] = 0.2
    low: Probability = 0.3
    high: Probability = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Spec):
    """A question to a vision-language model over the OpenAI-compatible protocol; P(yes) is read off one answer token.

    Attributes
    ----------
    prompt : str
        Name of a prompt (see ``natix_cascade.spec.prompt``).
    served_as : str or None
        The name under which the server knows the model or its LoRA adapter; default: the card's name.
    max_pixels : int
        The picture is made no larger than this before it is sent.
    reasoning : bool
        Let the model think first, at most `reasoning_tokens` tokens, before the constrained answer.
    reasoning_tokens : int
        See `reasoning`.
    thinks : bool
        Whether the model opens a thought by itself (a "Thinking" checkpoint); without `reasoning` it is closed at
        once.
    usd_per_million_in, usd_per_million_out : float
        Price of a million prompt and answer tokens; 0 for servers of one's own, whose cost is their time.
    """

    kind: Literal["ask"] = "ask"
    prompt: str = "roadwork"
    served_as: str | None = None
    max_pixels: Annotated[int, Ge(28 * 28)] = 640 * 448
    reasoning: bool = False
    reasoning_tokens: Annotated[int, Ge(1)] = 256
    thinks: bool = False
    usd_per_million_in: Annotated[float, Ge(0)] = 0.0
    usd_per_million_out: Annotated[float, Ge(0)] = 0.0


Task = Classify | Detect | Find | Tell | ZeroShot | Depth | Ask
