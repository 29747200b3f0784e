"""Real ONNX files of a few hundred bytes, encoded by hand: no test needs the onnx package.

The graph asks "is this picture bright?": ``sum(pixels * weights) / pixels``, times a slope, plus a shift. Field numbers
are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from natix_cascade.spec.card import Cost, InputSpec, ModelCard, OutputSpec, WeightsSpec
from natix_cascade.spec.task import Classify, Detect

FLOAT, UINT8, INT64 = 1, 2, 7
TYPES = {"float32": FLOAT, "uint8": UINT8}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def blob(tag: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | 2) + varint(len(raw)) + raw


def tensor(name: str, values: np.ndarray) -> bytes:
    kind = {"f": FLOAT, "i": INT64}[values.dtype.kind]
    raw = values.astype("<f4" if kind == FLOAT else "<i8").tobytes()
    return b"".join(number(1, size) for size in values.shape) + number(2, kind) + blob(8, name) + blob(9, raw)


def value_info(name: str, kind: int, shape: Iterable[int | str]) -> bytes:
    dims = b"".join(blob(1, number(1, size) if isinstance(size, int) else blob(2, size)) for size in shape)
    return blob(1, name) + blob(2, blob(1, number(1, kind) + blob(2, dims)))


def attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, list):
        return blob(1, name) + b"".join(number(8, item) for item in value) + number(20, 7)
    return blob(1, name) + number(3, value) + number(20, 2)


def node(kind: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    said = b"".join(blob(5, attribute(name, value)) for name, value in attributes.items())
    return b"".join(blob(1, name) for name in inputs) + blob(2, output) + blob(4, kind) + said


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """What the graph is like; the card says the same unless a test makes it lie."""

    name: str = "bright"
    height: int = 8
    width: int = 8
    layout: str = "NHWC"
    dtype: str = "uint8"
    fit: str = "stretch"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    kind: str = "logit"
    classes: tuple[str, ...] = ("dark", "bright")
    positive: str = "bright"
    slopes: tuple[float, ...] = (0.05,)  # one an output column
    shifts: tuple[float, ...] = (-6.4,)
    batch: int | str = "n"
    heat: bool = False
    weights: np.ndarray | None = field(default=None, compare=False)  # of the input's shape
    input_name: str = "pixels"
    output_name: str = "answer"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, 3) if self.layout == "NHWC" else (3, self.height, self.width)

    def encode(self) -> bytes:
        given = np.ones(self.shape) if self.weights is None else self.weights
        channel = 3 if self.layout == "NHWC" else 1
        squash = {"probability": "Sigmoid", "probabilities": "Softmax"}.get(self.kind, "Identity")
        nodes = [
            node("Cast", [self.input_name], "float", to=FLOAT),
            node("Mul", ["float", "weights"], "weighted"),
            node("ReduceMean", ["weighted"], "brightness", axes=[1, 2, 3], keepdims=0),
            node("Reshape", ["brightness", "column"], "feature"),
            node("MatMul", ["feature", "slopes"], "product"),
            node("Add", ["product", "shifts"], "sum"),
            node(squash, ["sum"], self.output_name),
        ]
        outputs = [value_info(self.output_name, FLOAT, (self.batch, len(self.slopes)))]
        if self.heat:
            nodes += [
                node("ReduceMean", ["float"], "grey", axes=[channel], keepdims=0),
                node("Mul", ["grey", "slope"], "steep"),
                node("Add", ["steep", "shift"], "heat"),
            ]
            outputs.append(value_info("heat", FLOAT, (self.batch, self.height, self.width)))
        constants = {
            "weights": given.astype(np.float32),
            "column": np.array([-1, 1]),
            "slopes": np.array([self.slopes], np.float32),
            "shifts": np.array(self.shifts, np.float32),
            "slope": np.float32(self.slopes[-1]).reshape(1),
            "shift": np.float32(self.shifts[-1]).reshape(1),
        }
        graph = (
            b"".join(blob(1, each) for each in nodes)
            + blob(2, "tiny")
            + b"".join(blob(5, tensor(name, values)) for name, values in constants.items())
            + blob(11, value_info(self.input_name, TYPES[self.dtype], (self.batch, *self.shape)))
            + b"".join(blob(12, each) for each in outputs)
        )
        return number(1, 8) + blob(2, "tests") + blob(7, graph) + blob(8, blob(1, "") + number(2, 13))

    def write(self, folder: Path) -> tuple[ModelCard, Path]:
        """The card and the file."""
        content = self.encode()
        path = folder / f"{self.name}.onnx"
        path.write_bytes(content)
        return self.card(content), path

    def card(self, content: bytes) -> ModelCard:
        return ModelCard(
            name=self.name,
            licence="MIT",
            classes=self.classes,
            positive=self.positive,
            input=InputSpec(
                name=self.input_name,
                height=self.height,
                width=self.width,
                layout=self.layout,
                dtype=self.dtype,
                fit=self.fit,
                mean=self.mean,
                std=self.std,
            ),
            output=OutputSpec(name=self.output_name, kind=self.kind, heat_map="heat" if self.heat else None),
            weights=WeightsSpec(
                file=f"{self.name}.onnx", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
            ),
            cost=Cost(gmacs=1e-6),
        )


def lie(card: ModelCard, **changes: object) -> ModelCard:
    """The card with parts changed: ``lie(card, output__name="x")``."""
    for key, value in changes.items():
        part, _, name = key.partition("__")
        changed = replace(getattr(card, part), **{name: value}) if name else value
        card = replace(card, **{part: changed})
    return card


def night(folder: Path) -> tuple[ModelCard, Path]:
    """A classifier that never is silent, since no picture is as light as 1."""
    card, path = Tiny().write(folder)
    return replace(card, task=Classify(dark_below=1.0)), path


def detector(folder: Path, layout: str = "yolo", *, columns: int = 2) -> tuple[ModelCard, Path]:
    """A graph that sees one thing, of the first label, in the middle of its input: the surer the brighter it is.

    The layouts are those of ``natix_cascade.spec.task.Detect``; it stands at 2, 2, 6, 6 of 8 x 8 pixels.
    """
    places = {"yolo": [4, 4, 4, 4], "yolo_end_to_end": [2, 2, 6, 6], "detr": [0.5, 0.5, 0.5, 0.5]}[layout]
    squash = "Identity" if layout == "detr" else "Sigmoid"
    nodes = [
        node("Cast", ["pixels"], "float", to=FLOAT),
        node("ReduceMean", ["float"], "brightness", axes=[1, 2, 3], keepdims=0),
        node("Reshape", ["brightness", "column"], "feature"),
        node("Mul", ["feature", "slope"], "steep"),
        node("Add", ["steep", "shift"], "logit"),
        node(squash, ["logit"], "sure"),
        node("Mul", ["feature", "nothing"], "empty"),
        node("Add", ["empty", "places"], "place"),
        node("Add", ["empty", "others"], "rest"),
    ]
    constants = {
        "column": np.array([-1, 1]),
        "slope": np.float32([0.05]),
        "shift": np.float32([-6.4]),
        "nothing": np.float32([0]),
        "places": np.float32([places]),
        "others": np.zeros((1, 1 if layout == "yolo_end_to_end" else columns - 1), np.float32) - 9 * (layout == "detr"),
    }
    if layout == "detr":
        nodes += [
            node("Concat", ["sure", "rest"], "row", axis=1),
            node("Reshape", ["row", "shape"], "answer"),
            node("Reshape", ["place", "square"], "dets"),
        ]
        constants |= {"shape": np.array([-1, 1, columns]), "square": np.array([-1, 1, 4])}
        outputs = [value_info("answer", FLOAT, ("n", 1, columns)), value_info("dets", FLOAT, ("n", 1, 4))]
    else:
        shape = (-1, 1, 6) if layout == "yolo_end_to_end" else (-1, 4 + columns, 1)
        nodes += [
            node("Concat", ["place", "sure", "rest"], "row", axis=1),
            node("Reshape", ["row", "shape"], "answer"),
        ]
        constants["shape"] = np.array(shape)
        outputs = [value_info("answer", FLOAT, ("n", *shape[1:]))]
    graph = (
        b"".join(blob(1, each) for each in nodes)
        + blob(2, "tiny")
        + b"".join(blob(5, tensor(name, np.asarray(values, values.dtype))) for name, values in constants.items())
        + blob(11, value_info("pixels", UINT8, ("n", 8, 8, 3)))
        + b"".join(blob(12, each) for each in outputs)
    )
    path = folder / "detector.onnx"
    path.write_bytes(number(1, 8) + blob(2, "tests") + blob(7, graph) + blob(8, blob(1, "") + number(2, 13)))
    content = path.read_bytes()
    card = ModelCard(
        name="detector",
        licence="MIT",
        input=InputSpec(height=8, width=8, fit="pad"),
        output=OutputSpec(name="answer"),
        weights=WeightsSpec(file=path.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        task=Detect(labels=("cone", "drum"), evidence={"cone": 1.0}, layout=layout, min_score=0.0, low=0.0, high=1.0),
    )
    return card, path
