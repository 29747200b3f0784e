"""Tiny ONNX detectors whose heads are built as YOLO's are, with random weights.

``yolo`` is the head of versions 8 to 12: at three strides, 16 bins for the distance to each side of a box (Generalized
Focal Loss, https://arxiv.org/abs/2006.04388) and a probability for each label; ``yolo_end_to_end`` is the one-to-one
head of versions 10 and 26 (https://arxiv.org/abs/2405.14458), which gives the strongest pairs of place and label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from natix_cascade.files import write_whole

__all__ = ["Drawing", "Layout", "write_yolo"]

Layout = Literal["yolo", "yolo_end_to_end"]

_OPSET, _IR = 17, 8
_STRIDES = (8, 16, 32)
_CHANNELS = (8, 16, 16, 24, 32)  # after each halving of the picture
_BINS = 16
_MOST = 300


class Drawing:
    """A graph under construction: nodes and constants with names that never collide.

    Parameters
    ----------
    seed : int
        Of the random weights.
    """

    def __init__(self, seed: int) -> None:
        import onnx  # noqa: PLC0415  # not everybody has it

        self._onnx = onnx
        self._rng = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; the name of its last output."""
        names = [f"{kind.lower()}_{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[-1]

    def constant(self, values: NDArray[Any] | list[int]) -> str:
        """Add a constant; lists are whole numbers."""
        array = np.asarray(values, np.int64) if isinstance(values, list) else values
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def convolution(self, x: str, given: int, wanted: int, *, side: int = 3, stride: int = 1, bias: float = 0.0) -> str:
        """A convolution with random weights, without an activation."""
        spread = (2 / (given * side * side)) ** 0.5
        weights = self._rng.normal(0, spread, (wanted, given, side, side)).astype(np.float32)
        shift = self._rng.normal(bias, 0.3, wanted).astype(np.float32)
        pads, strides = [side // 2] * 4, [stride, stride]
        return self.node("Conv", x, self.constant(weights), self.constant(shift), pads=pads, strides=strides)

    def silu(self, x: str) -> str:
        """X times its sigmoid."""
        return self.node("Mul", x, self.node("Sigmoid", x))

    def write(self, path: Path, result: str, size: int, shape: list[str | int]) -> None:
        """Write the graph from ``images`` ``(n, 3, size, size)`` to ``output0``."""
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        self._nodes.append(helper.make_node("Identity", [result], ["output0"]))
        graph = helper.make_graph(
            self._nodes,
            "tiny",
            [helper.make_tensor_value_info("images", kind, ["n", 3, size, size])],
            [helper.make_tensor_value_info("output0", kind, shape)],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        self._onnx.checker.check_model(model)
        write_whole(path, model.SerializeToString())


def write_yolo(path: Path, labels: int, *, layout: Layout, size: int = 640, seed: int = 0) -> None:
    """Write a tiny YOLO.

    Parameters
    ----------
    path : Path
        The graph's file.
    labels : int
        How many labels it knows.
    layout : {'yolo', 'yolo_end_to_end'}
        See ``natix_cascade.spec.task.Detect``.
    size : int
        Pixels a side of its input; a multiple of 32.
    seed : int
        Of the random weights.
    """
    draw = Drawing(seed)
    bins = _BINS if layout == "yolo" else 1
    sides, chances = _heads(draw, labels, bins)
    boxes = _corners(draw, sides, size, bins)
    anchors = sum((size // stride) ** 2 for stride in _STRIDES)
    if layout == "yolo":
        result = draw.node("Concat", _as_centres(draw, boxes), draw.node("Sigmoid", chances), axis=1)
        draw.write(path, result, size, ["n", 4 + labels, anchors])
        return
    most = min(_MOST, anchors)
    draw.write(path, _strongest(draw, boxes, draw.node("Sigmoid", chances), labels, most), size, ["n", most, 6])


def _heads(draw: Drawing, labels: int, bins: int) -> tuple[str, str]:
    """Distances ``(n, 4 * bins, anchors)`` and logits ``(n, labels, anchors)`` over the three strides."""
    x, given = "images", 3
    sides: list[str] = []
    chances: list[str] = []
    for level, channels in enumerate(_CHANNELS, start=1):
        x, given = draw.silu(draw.convolution(x, given, channels, stride=2)), channels
        if 2**level in _STRIDES:
            for heads, wanted, bias in ((sides, 4 * bins, 1.0), (chances, labels, -3.0)):
                y = draw.convolution(x, given, wanted, side=1, bias=bias)
                heads.append(draw.node("Reshape", y, draw.constant([0, wanted, -1])))
    return draw.node("Concat", *sides, axis=2), draw.node("Concat", *chances, axis=2)


def _corners(draw: Drawing, sides: str, size: int, bins: int) -> str:
    """Corners in pixels ``(n, 4, anchors)``: each anchor less and plus its distances, times its stride."""
    if bins > 1:
        spread = draw.node("Reshape", sides, draw.constant([0, 4, bins, -1]))
        weights = draw.constant(np.arange(bins, dtype=np.float32).reshape(1, 1, bins, 1))
        mean = draw.node("Mul", draw.node("Softmax", spread, axis=2), weights)
        sides = draw.node("ReduceSum", mean, draw.constant([2]), keepdims=0)
    grid, strides = _anchors(size)
    signs = np.array([-1, -1, 1, 1], np.float32).reshape(1, 4, 1)
    placed = draw.node("Add", draw.constant(grid), draw.node("Mul", sides, draw.constant(signs)))
    return draw.node("Mul", placed, draw.constant(strides))


def _anchors(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres x, y, x, y ``(1, 4, anchors)`` in cells, and each one's stride ``(1, 1, anchors)``."""
    grids, strides = [], []
    for stride in _STRIDES:
        cells = np.arange(size // stride, dtype=np.float32) + 0.5
        y, x = (axis.ravel() for axis in np.meshgrid(cells, cells, indexing="ij"))
        grids.append(np.stack([x, y, x, y]))
        strides.append(np.full(len(x), stride, np.float32))
    return np.concatenate(grids, axis=1)[None], np.concatenate(strides)[None, None]


def _as_centres(draw: Drawing, boxes: str) -> str:
    """Corners ``(n, 4, anchors)`` as centre and size."""
    matrix = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]], np.float32)
    return draw.node("MatMul", draw.constant(matrix), boxes)


def _strongest(draw: Drawing, boxes: str, chances: str, labels: int, most: int) -> str:
    """The strongest pairs of anchor and label ``(n, most, 6)``: of the best anchors the best pairs."""
    boxes, chances = (draw.node("Transpose", each, perm=[0, 2, 1]) for each in (boxes, chances))
    best = draw.node("ReduceMax", chances, axes=[2], keepdims=0)
    count = draw.constant([most])
    anchors = draw.node("TopK", best, count, outputs=2, axis=1)
    boxes = _pick(draw, boxes, anchors, 4)
    pairs = draw.node("Reshape", _pick(draw, chances, anchors, labels), draw.constant([0, -1]))
    places = draw.node("TopK", pairs, count, outputs=2, axis=1)
    scores = places.removesuffix("_1") + "_0"
    width = draw.constant([labels])
    columns = [
        _pick(draw, boxes, draw.node("Div", places, width), 4),
        draw.node("Unsqueeze", scores, draw.constant([2])),
        draw.node("Unsqueeze", draw.node("Cast", draw.node("Mod", places, width), to=1), draw.constant([2])),
    ]
    return draw.node("Concat", *columns, axis=2)


def _pick(draw: Drawing, table: str, rows: str, width: int) -> str:
    """Rows ``(n, k)`` of a table ``(n, anchors, width)``."""
    index = draw.node("Unsqueeze", rows, draw.constant([2]))
    return draw.node("GatherElements", table, draw.node("Tile", index, draw.constant([1, 1, width])), axis=1)
