"""ONNX detectors: their raw outputs, read as the card's task says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence
from natix_cascade.errors import ModelError
from natix_cascade.models.base import Answers
from natix_cascade.models.boxes import Found, decode_detr, decode_end_to_end, decode_yolo, undo_padding
from natix_cascade.models.evidence import judge_boxes
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Detect

__all__ = ["DetectionReader"]

_BOXES = ("boxes", "dets", "pred_boxes")  # names that exporters give to the boxes of a DETR
_DETR_RANK = 3


class DetectionReader:
    """Reads boxes out of a graph's outputs.

    Parameters
    ----------
    card : ModelCard
        Whose task is `Detect`.
    outputs : sequence of str
        Names of the graph's outputs.

    Attributes
    ----------
    names : list of str
        Outputs to ask the graph for, in the order in which `read` takes them.

    Raises
    ------
    ModelError
        The card says too little, or something else than the graph.
    """

    def __init__(self, card: ModelCard, outputs: Sequence[str]) -> None:
        task = card.task
        if not isinstance(task, Detect):
            raise TypeError(f"the task of {card.name!r} is {task.kind}; wanted detect")
        if not task.labels:
            raise ModelError(
                f"model {card.name!r}: an ONNX detector does not say what its columns mean; write labels under task in "
                "its card, in the order of the output"
            )
        unknown = sorted(set(task.evidence) - set(task.labels))
        if unknown:
            raise ModelError(f"model {card.name!r}: evidence names {unknown}, which are not among the task's labels")
        if card.input.fit == "center_crop":
            raise ModelError(f"model {card.name!r}: a detector must see the whole picture; write fit: pad or stretch")
        self._card, self._task = card, task
        self.names = [card.output.name]
        if task.layout == "detr":
            self.names.append(self._boxes_among(outputs))
        self._decode: Callable[[Sequence[NDArray[np.float32]], int], Found] = {
            "yolo": self._yolo,
            "yolo_end_to_end": self._end_to_end,
            "detr": self._detr,
        }[task.layout]

    def read(self, results: Sequence[NDArray[np.float32]], sizes: Sequence[tuple[int, int]]) -> Answers:
        """Turn the graph's outputs into answers.

        Parameters
        ----------
        results : sequence of NDArray
            The outputs of `names`, each with the batch first.
        sizes : sequence of tuple
            Height and width of each picture before it was fitted.

        Raises
        ------
        ModelError
            The outputs are not of the layout that the card names.
        """
        self._check(results, len(sizes))
        scores: NDArray[np.float64] = np.empty(len(sizes), np.float64)
        evidence: list[Evidence | None] = []
        for index, size in enumerate(sizes):
            found = self._place(self._decode(results, index), size)
            scores[index], said = judge_boxes(
                found, self._task.labels, self._task.evidence, low=self._task.low, high=self._task.high
            )
            evidence.append(said)
        return Answers(scores, evidence=tuple(evidence))

    def _yolo(self, results: Sequence[NDArray[np.float32]], index: int) -> Found:
        return decode_yolo(results[0][index], min_score=self._task.min_score)

    def _end_to_end(self, results: Sequence[NDArray[np.float32]], index: int) -> Found:
        found = decode_end_to_end(results[0][index], min_score=self._task.min_score)
        if len(found) and not 0 <= found.labels.min() <= found.labels.max() < len(self._task.labels):
            raise ModelError(
                f"model {self._card.name!r} found label {found.labels.max()}, its card has {len(self._task.labels)}; "
                "write all labels under task"
            )
        return found

    def _detr(self, results: Sequence[NDArray[np.float32]], index: int) -> Found:
        logits = results[0][index][:, : len(self._task.labels)]
        return decode_detr(logits, results[1][index], min_score=self._task.min_score)

    def _place(self, found: Found, size: tuple[int, int]) -> Found:
        """Corners as shares of the upright picture."""
        spec, boxes = self._card.input, found.corners
        whole = [spec.width, spec.height, spec.width, spec.height]
        relative = self._task.layout == "detr"
        if spec.fit == "pad":
            boxes = undo_padding(boxes * whole if relative else boxes, (spec.height, spec.width), size)
        elif not relative:
            boxes = boxes / whole
        return Found(boxes, found.scores, found.labels)

    def _check(self, results: Sequence[NDArray[np.float32]], n: int) -> None:
        labels, shape = len(self._task.labels), results[0].shape
        wanted, good = {
            "yolo": (f"({n}, {4 + labels}, anchors)", shape[:2] == (n, 4 + labels)),
            "yolo_end_to_end": (f"({n}, boxes, 6)", shape[:1] + shape[2:] == (n, 6)),
            "detr": (
                f"({n}, queries, {labels}), or one more for nothing",
                shape[:1] == (n,) and shape[2:] in {(labels,), (labels + 1,)},
            ),
        }[self._task.layout]
        if len(shape) != _DETR_RANK or not good:
            raise ModelError(
                f"model {self._card.name!r} gave an output of shape {shape} to {n} pictures; layout "
                f"{self._task.layout} with {labels} labels is {wanted}; mend layout or labels under task in its card"
            )
        if self._task.layout == "detr" and results[1].shape != (*shape[:2], 4):
            raise ModelError(
                f"model {self._card.name!r} gave boxes of shape {results[1].shape}, wanted {(*shape[:2], 4)}"
            )
        if not all(np.isfinite(each).all() for each in results):
            raise ModelError(f"model {self._card.name!r} answered with NaN or infinity")

    def _boxes_among(self, outputs: Sequence[str]) -> str:
        others = [name for name in outputs if name != self._card.output.name]
        named = [name for name in _BOXES if name in others]
        if named or len(others) == 1:
            return (named or others)[0]
        raise ModelError(
            f"model {self._card.name!r}: which output holds the boxes? wanted one named boxes beside "
            f"{self._card.output.name!r}, the graph has {sorted(outputs)}"
        )
