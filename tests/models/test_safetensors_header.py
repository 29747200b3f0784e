from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_hub import safetensors

from natix_cascade.errors import ModelError
from natix_cascade.models.safetensors_header import MAX_HEADER, Header, parse_header, read_header

WHOLE = safetensors(a=(2, 3), b=(4,), c=())
DTYPES = {"F32": 4, "BF16": 2, "F16": 2, "I64": 8, "U8": 1, "BOOL": 1, "F8_E4M3": 1}


def encode(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(*, dtype: str = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def refused(raw: bytes, size: int | None = None) -> str:
    with pytest.raises(ModelError) as told:
        parse_header(raw, len(raw) if size is None else size)
    assert "\n" not in str(told.value)
    return str(told.value)


def one_error_or_a_header(raw: bytes) -> Header | None:
    """Any other exception goes through, and fails the test."""
    try:
        return parse_header(raw, len(raw))
    except ModelError as error:
        said = str(error)
    assert "\n" not in said
    return None


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(WHOLE)
    header = read_header(tmp_path / "m.safetensors")
    assert {name: tensor.shape for name, tensor in header.tensors.items()} == {"a": (2, 3), "b": (4,), "c": ()}
    assert (header.parameters, header.dtypes, header.size) == (11, ("F32",), len(WHOLE))


def test_the_reference_writer_is_understood(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    import numpy as np

    path = tmp_path / "m.safetensors"
    numpy.save_file({"x": np.zeros((3, 5), np.float16), "y": np.ones(7, np.int64)}, path, metadata={"format": "pt"})
    header = read_header(path)
    assert header.metadata == {"format": "pt"}
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in header.tensors.items()} == {
        "x": ("F16", (3, 5)),
        "y": ("I64", (7,)),
    }


@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 4), max_size=3)),
        max_size=5,
    )
)
def test_every_well_formed_header_is_taken(tensors: dict[str, tuple[str, list[int]]]) -> None:
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = DTYPES[dtype]
        for side in shape:
            size *= side
        header[name] = entry(dtype=dtype, shape=shape, offsets=[at, at + size])
        at += size
    raw = encode(header, b"\0" * at)
    assert set(parse_header(raw, len(raw)).tensors) == set(tensors)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_file_is_one_error(length: int) -> None:
    refused(WHOLE[:length])


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_one_error_or_a_header_that_still_fits(at: int, value: int) -> None:
    raw = WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :]
    header = one_error_or_a_header(raw)
    if header is not None:
        assert max(tensor.end for tensor in header.tensors.values()) <= len(raw)


@given(st.binary(max_size=200))
def test_noise_is_one_error_or_a_header(noise: bytes) -> None:
    one_error_or_a_header(noise)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, json_values, json_values)
def test_odd_values_are_one_error_or_a_header(dtype: object, shape: object, offsets: object) -> None:
    raw = encode({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})
    one_error_or_a_header(raw)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (struct.pack("<Q", 2**63) + b"{}", "the header's length is given as"),
        (struct.pack("<Q", MAX_HEADER + 1) + b"{}", f"more than {MAX_HEADER}"),
        (struct.pack("<Q", 3) + b"{}", "the file has 10"),
        (encode(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}'), "names 'a' twice"),
        (encode(b'{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "names 'dtype' twice"),
        (encode(b"[" * 100_000), "nested too deeply"),
        (encode(b"[]"), "wanted an object"),
        (encode(b"\xff{}"), "not UTF-8"),
        (encode(b'{"a": NaN}'), "NaN"),
        (encode(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
        (encode({"__metadata__": {"a": 1}}), "text only"),
        (encode({"a": {"dtype": "U8", "shape": [0]}}), "wanted dtype, shape and data_offsets"),
        (encode({"a": entry(dtype="F33")}, b"\0" * 4), "unknown dtype"),
        (encode({"a": entry(shape=[-1])}, b"\0" * 4), "no list of sizes"),
        (encode({"a": entry(shape=[True])}, b"\0" * 4), "no list of sizes"),
        (encode({"a": entry(shape=[2**64])}, b"\0" * 4), "no list of sizes"),
        (encode({"a": entry(offsets=[4, 0])}, b"\0" * 4), "no [from, to]"),
        (encode({"a": entry(shape=[2])}, b"\0" * 4), "does not fill the 4 bytes"),
        (encode({"a": entry(), "b": entry()}, b"\0" * 4), "overlaps"),
        (encode({"a": entry(), "b": entry(offsets=[2, 6])}, b"\0" * 6), "overlaps"),
        (encode({"a": entry(offsets=[4, 8])}, b"\0" * 8), "leaves a gap"),
        (encode({"a": entry()}, b"\0" * 5), "the tensors take 4 bytes, the file has 5"),
        (encode({"a": entry()}, b"\0" * 3), "the tensors take 4 bytes, the file has 3"),
    ],
)
def test_what_does_not_fit_is_said(raw: bytes, says: str) -> None:
    assert says in refused(raw)


def test_a_long_name_does_not_flood_the_message() -> None:
    assert len(refused(encode({"x" * 10_000: {}}))) < 200


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_header(tmp_path / "none")
    (tmp_path / "cut").write_bytes(WHOLE[:-1])
    with pytest.raises(ModelError, match=r"cut: not a whole safetensors file: .*; get or save it again"):
        read_header(tmp_path / "cut")
