"""Damage a file the way networks, disks and attackers do."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER = 64


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return `data` after one to four random changes: bits, cuts, inserts, swaps and header numbers."""
    for _ in range(rng.randint(1, 4)):
        if data:
            data = rng.choice(_CHANGES)(data, rng)
    return data


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 16)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _flip_header_bits(data: bytes, rng: random.Random) -> bytes:
    return _flip_bits(data[:_HEADER], rng) + data[_HEADER:]


def _cut_end(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _cut_middle(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 64) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    piece = rng.choice(
        (rng.randbytes(rng.randint(1, 64)), b"\xff" * 16, b"\x00" * 16, b"\xff\xd9", b"\xff\xd8\xff\xda")
    )
    return data[:at] + piece + data[at:]


def _swap_chunks(data: bytes, rng: random.Random) -> bytes:
    a, b, c, d = sorted(rng.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _repeat_chunk(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    chunk = data[start : start + rng.randint(1, 256)]
    return data[:start] + chunk * rng.randint(2, 5) + data[start + len(chunk) :]


def _edit_number(data: bytes, rng: random.Random) -> bytes:
    form = rng.choice((">H", ">I", "<H", "<I"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    at = rng.randrange(min(len(data), 4 * _HEADER) - size + 1)
    return data[:at] + struct.pack(form, rng.choice(_NUMBERS) & (256**size - 1)) + data[at + size :]


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip_bits,
    _flip_header_bits,
    _cut_end,
    _cut_middle,
    _insert,
    _swap_chunks,
    _repeat_chunk,
    _edit_number,
)
