"""The header of a safetensors file: names, types and shapes of its tensors, checked without reading any of them.

The format: eight bytes with the length of the header (little-endian), the header (JSON), then the tensors' bytes, one
after the other without a gap (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natix_cascade.errors import ModelError

__all__ = ["Header", "TensorInfo", "parse_header", "read_header"]

MAX_HEADER = 100_000_000
"""Longest header in bytes, as the reference reader has it."""

_PREFIX = 8
_LARGEST = 2**63 - 1
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the header says of one tensor.

    Attributes
    ----------
    dtype : str
        Such as ``"BF16"``.
    shape : tuple of int
        Empty for a single number.
    begin, end : int
        Its bytes, counted from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """A header that fits its file.

    Attributes
    ----------
    tensors : dict
        Name to what is said of it.
    metadata : dict
        Text that the writer left.
    size : int
        Bytes of the whole file.
    """

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    size: int

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.numbers for tensor in self.tensors.values())

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The types that occur, sorted."""
        return tuple(sorted({tensor.dtype for tensor in self.tensors.values()}))


def read_header(path: Path) -> Header:
    """Read and check the header of a file.

    Raises
    ------
    ModelError
        The file cannot be read, or is no whole safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(_PREFIX)
            length = min(int.from_bytes(prefix, "little"), MAX_HEADER, size)
            head = prefix + file.read(length)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return parse_header(head, size)
    except ModelError as error:
        raise ModelError(f"{path}: not a whole safetensors file: {error}; get or save it again") from error


def parse_header(head: bytes, size: int) -> Header:
    """Check a header; pure.

    Parameters
    ----------
    head : bytes
        The file's beginning: at least the eight bytes of the length and the header.
    size : int
        Bytes of the whole file.

    Raises
    ------
    ModelError
        What does not fit.
    """
    if len(head) < _PREFIX or size < _PREFIX:
        raise ModelError(f"{min(len(head), size)} bytes, fewer than the {_PREFIX} that hold the header's length")
    length = int.from_bytes(head[:_PREFIX], "little")
    if length > MAX_HEADER:
        raise ModelError(f"the header's length is given as {length} bytes, more than {MAX_HEADER}")
    if length > size - _PREFIX or length > len(head) - _PREFIX:
        raise ModelError(f"the header's length is given as {length} bytes, the file has {size}")
    entries = _json(head[_PREFIX : _PREFIX + length])
    metadata = _metadata(entries.pop("__metadata__", {}))
    tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
    _fill(tensors, size - _PREFIX - length)
    return Header(tensors, metadata, size)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise ModelError("the header is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ModelError(f"the header is not JSON: {_short(said)}") from None
    if not isinstance(found, dict):
        raise ModelError(f"the header holds {type(found).__name__}, wanted an object")
    return found


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ModelError(f"the header names {_short(key)!r} twice")
        found[key] = value
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _metadata(found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ModelError("__metadata__ must hold text only")
    return found


def _tensor(name: str, entry: Any) -> TensorInfo:
    wanted = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or set(entry) != wanted:
        raise ModelError(f"tensor {_short(name)!r}: wanted dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ModelError(f"tensor {_short(name)!r}: unknown dtype {_short(repr(dtype))}")
    if not _sizes(shape):
        raise ModelError(f"tensor {_short(name)!r}: shape {_short(repr(shape))} is no list of sizes")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:  # noqa: PLR2004  # from, to
        raise ModelError(f"tensor {_short(name)!r}: data_offsets {_short(repr(offsets))} are no [from, to]")
    tensor = TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])
    bits = tensor.numbers * _BITS[dtype]
    if bits != 8 * (tensor.end - tensor.begin):
        raise ModelError(
            f"tensor {_short(name)!r}: {dtype} of shape {_short(str(list(shape)))} does not fill the "
            f"{tensor.end - tensor.begin} bytes that it is given"
        )
    return tensor


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _LARGEST for item in value)


def _fill(tensors: dict[str, TensorInfo], room: int) -> None:
    """Tensors must follow each other without gap or overlap, from the header to the end of the file."""
    at = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != at:
            problem = "overlaps the one before it" if tensor.begin < at else "leaves a gap before it"
            raise ModelError(f"tensor {_short(name)!r} {problem}: it begins at {tensor.begin}, wanted {at}")
        at = tensor.end
    if at != room:
        raise ModelError(f"the tensors take {at} bytes, the file has {room} for them")


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
