"""What the networks of the transformers engine are asked, and what their outputs mean.

Each reader is made once for a card and a loaded network; called with pictures ``(n, 3, h, w)`` on the network's device
it gives for each P(positive) and what was seen. Arithmetic on arrays stands in `boxes`, `evidence` and `depth`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence
from natix_cascade.errors import ModelError
from natix_cascade.models.boxes import Found, corners, decode_detr, sigmoid
from natix_cascade.models.classify import check_classes, read_scores
from natix_cascade.models.depth import chance_of_share, standing
from natix_cascade.models.evidence import MASK_SIDE, judge_boxes, judge_text, read_regions, small_mask, within
from natix_cascade.models.torch import Workbench, read_tensors
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Depth, Detect, Find, Task, Tell, ZeroShot

__all__ = [
    "HEAD_FILE",
    "Classifier",
    "Comparer",
    "Detector",
    "Grounder",
    "Network",
    "Said",
    "Segmenter",
    "Surveyor",
    "Teller",
]

HEAD_FILE = "head.safetensors"
"""A trained head beside its backbone."""
Said = list[tuple[float, Evidence | None]]
"""P(positive) and what was seen, for each picture."""
_FLORENCE_PROMPTS = {  # what Florence-2 was trained to be asked for each task (https://arxiv.org/abs/2311.06242)
    "<CAPTION>": "What does the image describe?",
    "<DETAILED_CAPTION>": "Describe in detail what is shown in the image.",
    "<MORE_DETAILED_CAPTION>": "Describe with a paragraph what is shown in the image.",
    "<OCR>": "What is the text in the image?",
    "<OCR_WITH_REGION>": "What is the text in the image, with regions?",
}
_SAM_WORDS = 32  # tokens that SAM 3 pads a concept to
_DEPTH_SIDE = 192  # pixels a side that the plane of the road is fitted over, at most


@dataclass(slots=True, weakref_slot=True, eq=False)
class Network:
    """A loaded network, which roles of the same weights share.

    Attributes
    ----------
    module, config : object
        Of transformers.
    folder : Path
        Where it came from.
    tokenizer : callable
        Loads its tokenizer.
    lock : Lock
        Held by the role that computes.
    """

    module: Any
    config: Any
    folder: Path
    tokenizer: Callable[[], Any]
    lock: threading.Lock = field(default_factory=threading.Lock)


class Classifier:
    """DINOv3's class token and a linear head over it."""

    def __init__(self, card: ModelCard, network: Network, bench: Workbench) -> None:
        check_classes(card)
        self._card, self._network = card, network
        tensors = read_tensors(card, network.folder / HEAD_FILE)
        head = {name.rpartition(".")[2]: tensor for name, tensor in tensors.items()}  # head.weight is weight, too
        hidden, outputs = network.config.hidden_size, 1 if card.output.kind == "logit" else len(card.classes)
        shapes = {name: tuple(tensor.shape) for name, tensor in head.items()}
        if shapes != {"weight": (outputs, hidden), "bias": (outputs,)}:
            raise ModelError(
                f"model {card.name!r}: {HEAD_FILE} holds {shapes}; this backbone and output kind "
                f"{card.output.kind!r} want weight {(outputs, hidden)} and bias {(outputs,)}"
            )
        self._weight, self._bias = (head[name].to(bench.device).float() for name in ("weight", "bias"))

    def __call__(self, pixels: Any) -> Said:
        """One answer for each picture."""
        token = self._network.module(pixel_values=pixels).pooler_output.float()
        raw = _array(token @ self._weight.T + self._bias)
        return [(float(score), None) for score in read_scores(self._card, raw, len(raw))]


class Detector:
    """RT-DETRv2, D-FINE and RF-DETR: boxes of a fixed set of labels."""

    def __init__(self, card: ModelCard, network: Network, bench: Workbench) -> None:
        del bench
        self._card, self._network, self._task = card, network, _task(card, Detect)
        own = network.config.id2label
        self._labels = self._task.labels or tuple(own[column] for column in sorted(own))
        unknown = sorted(set(self._task.evidence) - set(self._labels))
        if unknown:
            raise ModelError(
                f"model {card.name!r}: evidence names {unknown}, which the network does not know; it knows "
                f"{', '.join(self._labels[:8])}..."
            )

    def __call__(self, pixels: Any) -> Said:
        """One answer for each picture."""
        out = self._network.module(pixel_values=pixels)
        logits, boxes, task = _array(out.logits), _array(out.pred_boxes), self._task
        if logits.shape[2] != len(self._labels):
            raise ModelError(
                f"model {self._card.name!r} has {logits.shape[2]} columns, its card has {len(self._labels)} labels; "
                "mend labels under task"
            )
        each = zip(logits, boxes, strict=True)
        return [
            judge_boxes(
                decode_detr(*one, min_score=task.min_score), self._labels, task.evidence, low=task.low, high=task.high
            )
            for one in each
        ]


class Grounder:
    """Grounding DINO: boxes of what is named in one line of words, ``cone. barrier.``."""

    def __init__(self, card: ModelCard, network: Network, bench: Workbench) -> None:
        self._network, self._task = network, _task(card, Find)
        self._prompts = tuple(self._task.prompts)
        words = network.tokenizer()
        line = ". ".join(prompt.lower() for prompt in self._prompts) + "."
        self._text = {name: tensor.to(bench.device) for name, tensor in words(line, return_tensors="pt").items()}
        self._spans, place = [], 1
        for prompt in self._prompts:
            length = len(words(prompt.lower(), add_special_tokens=False)["input_ids"])
            self._spans.append(slice(place, place + length))
            place += length + 1
        stops = any(stop in prompt for prompt in self._prompts for stop in ".?")
        if stops or place + 1 != self._text["input_ids"].shape[1] or place >= network.config.max_text_len:
            raise ModelError(
                f"model {card.name!r}: its prompts do not fit one line of {network.config.max_text_len} tokens with "
                "full stops between them; write fewer prompts, without full stops in them"
            )

    def __call__(self, pixels: Any) -> Said:
        """One answer for each picture."""
        text = {name: tensor.expand(len(pixels), -1) for name, tensor in self._text.items()}
        out = self._network.module(pixel_values=pixels, **text)
        tokens, boxes = sigmoid(_array(out.logits)), _array(out.pred_boxes)
        scores = np.stack([tokens[:, :, span].max(axis=2) for span in self._spans], axis=2)
        each, task = zip(scores, boxes, strict=True), self._task
        return [
            judge_boxes(self._best(*one), self._prompts, task.prompts, low=task.low, high=task.high) for one in each
        ]

    def _best(self, scores: NDArray[np.float64], boxes: NDArray[np.float64]) -> Found:
        """Each query's best prompt."""
        return _strongest(corners(boxes), scores.max(axis=1), scores.argmax(axis=1), self._task.min_score)


class Segmenter:
    """SAM 3: every instance of each named concept, as boxes and, where the task wants them, as one mask."""

    def __init__(self, card: ModelCard, network: Network, bench: Workbench) -> None:
        self._network, self._bench, self._task = network, bench, _task(card, Find)
        self._prompts = tuple(self._task.prompts)
        words = network.tokenizer()(
            list(self._prompts), return_tensors="pt", padding="max_length", max_length=_SAM_WORDS, truncation=True
        )
        self._attention = words["attention_mask"].to(bench.device)
        self._text = network.module.get_text_features(
            input_ids=words["input_ids"].to(bench.device), attention_mask=self._attention
        ).pooler_output

    def __call__(self, pixels: Any) -> Said:
        """One answer for each picture."""
        n, network = len(pixels), self._network.module
        seen = network.get_vision_features(pixel_values=pixels)
        finds: list[list[Found]] = [[] for _ in range(n)]
        masks: list[Any] = [None] * n
        for index in range(len(self._prompts)):
            text = type(seen)(pooler_output=self._text[index : index + 1].expand(n, -1, -1))
            attention = self._attention[index : index + 1].expand(n, -1)
            out = network(vision_embeds=seen, text_embeds=text, attention_mask=attention)
            scores = sigmoid(_array(out.pred_logits)) * sigmoid(_array(out.presence_logits)).reshape(n, 1)
            for each, (boxes, score) in enumerate(zip(_array(out.pred_boxes), scores, strict=True)):
                labels = np.full(len(score), index)
                finds[each].append(_strongest(boxes, score, labels, self._task.min_score))
                if self._task.masks:
                    keep = self._bench.torch.from_numpy(score >= self._task.min_score).to(pixels.device)
                    masks[each] = _union(self._bench.torch, masks[each], out.pred_masks[each], keep)
        return [self._judge(*one) for one in zip(finds, masks, strict=True)]

    def _judge(self, finds: list[Found], logits: Any) -> tuple[float, Evidence]:
        boxes = np.concatenate([found.corners for found in finds])
        scores = np.concatenate([found.scores for found in finds])
        labels = np.concatenate([found.labels for found in finds])
        task = self._task
        mask = small_mask(_array(logits) > 0) if task.masks else None
        found = _strongest(boxes, scores, labels, 0.0)
        return judge_boxes(found, self._prompts, task.prompts, low=task.low, high=task.high, mask=mask)


class Comparer:
    """SigLIP 2: the picture against two groups of sentences."""

    def __init__(self, card: ModelCard, network: Network, bench: Workbench) -> None:
        self._network, self._task = network, _task(card, ZeroShot)
        self._sentences = (*self._task.positive, *self._task.negative)
        words = network.tokenizer()(
            [sentence.lower() for sentence in self._sentences],
            return_tensors="pt",
            padding="max_length",
            truncation=True,
            max_length=network.config.text_config.max_position_embeddings,
        )
        text = network.module.get_text_features(input_ids=words["input_ids"].to(bench.device))
        self._text = _unit(text)

    def __call__(self, pixels: Any) -> Said:
        """One answer for each picture."""
        module = self._network.module
        cosines = _unit(module.get_image_features(pixel_values=pixels)) @ self._text.T
        logits = _array(cosines * module.logit_scale.float().exp())  # the bias falls out of the softmax
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        said: Said = []
        for row in shares:
            nearest = int(row.argmax())
            text = f"nearest: {self._sentences[nearest]} ({row[nearest]:.2f})"
            said.append((float(row[: len(self._task.positive)].sum()), Evidence(text=text)))
        return said


class Surveyor:
    """Depth Anything: how much of the road something stands on."""

    def __init__(self, card: ModelCard, network: Network, bench: Workbench) -> None:
        del bench
        self._network, self._task = network, _task(card, Depth)
        self._metric = network.config.depth_estimation_type == "metric"

    def __call__(self, pixels: Any) -> Said:
        """One answer for each picture."""
        depth = _array(self._network.module(pixel_values=pixels).predicted_depth)
        step = -(-max(depth.shape[1:]) // _DEPTH_SIDE)
        said: Said = []
        for one in depth[:, ::step, ::step]:
            inverse = 1.0 / np.maximum(one, 1e-3) if self._metric else one
            share, mask = standing(inverse, self._task.height)
            text = f"something stands on {share:.0%} of the road"
            seen = within(chance_of_share(share, self._task.half), self._task.low, self._task.high)
            said.append((seen, Evidence(text=text, mask=small_mask(mask))))
        return said


class Teller:
    """Florence-2: a caption, or what signs say and where."""

    def __init__(self, card: ModelCard, network: Network, bench: Workbench) -> None:
        self._network, self._task = network, _task(card, Tell)
        self._words, config = network.tokenizer(), network.config
        if self._task.prompt not in _FLORENCE_PROMPTS:
            raise ModelError(
                f"model {card.name!r}: no prompt {self._task.prompt!r}; Florence-2 knows {', '.join(_FLORENCE_PROMPTS)}"
            )
        question = self._words(_FLORENCE_PROMPTS[self._task.prompt], add_special_tokens=False)["input_ids"]
        text = config.text_config
        self._start = [text.bos_token_id, *question, text.eos_token_id]
        self._image, self._bench = config.image_token_id, bench
        self._places: dict[tuple[int, int], int] = {}

    def __call__(self, pixels: Any) -> Said:
        """One answer for each picture."""
        torch, module = self._bench.torch, self._network.module
        size = tuple(pixels.shape[-2:])
        if size not in self._places:  # how many tokens a picture of this size takes
            features = module.get_image_features(pixel_values=pixels[:1])
            self._places[size] = int(getattr(features, "pooler_output", features).shape[-2])
        ids = torch.tensor([[self._image] * self._places[size] + self._start] * len(pixels), device=pixels.device)
        answers = module.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels,
            max_new_tokens=self._task.max_tokens,
            do_sample=False,
            num_beams=1,
        )
        return [self._judge(self._words.decode(answer, skip_special_tokens=False)) for answer in answers]

    def _judge(self, answer: str) -> tuple[float, Evidence]:
        for mark in ("<s>", "</s>", "<pad>"):
            answer = answer.replace(mark, "")
        text, boxes = read_regions(answer)
        return judge_text(self._task, text, boxes)


def _task(card: ModelCard, kind: type[Any]) -> Any:
    task: Task = card.task
    if not isinstance(task, kind):
        raise TypeError(f"the task of {card.name!r} is {task.kind}; wanted {kind.__name__}")
    return task


def _array(tensor: Any) -> NDArray[np.float64]:
    return np.asarray(tensor.float().cpu().numpy(), np.float64)


def _unit(features: Any) -> Any:
    vectors = getattr(features, "pooler_output", features).float()
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _strongest(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], labels: NDArray[np.int64], min_score: float
) -> Found:
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    return Found(boxes[order], scores[order], labels[order].astype(np.int64))


def _union(torch: Any, before: Any, logits: Any, keep: Any) -> Any:
    """Mask logits ``(h, w)`` of all kept queries together, at most `MASK_SIDE` pixels a side."""
    if bool(keep.any()):
        together = logits[keep].float().amax(dim=0)
    else:
        together = torch.full_like(logits[0], -1.0, dtype=torch.float32)
    side = tuple(min(MASK_SIDE, length) for length in together.shape)
    small = torch.nn.functional.interpolate(together[None, None], size=side, mode="bilinear")[0, 0]
    return small if before is None else torch.maximum(before, small)
