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
