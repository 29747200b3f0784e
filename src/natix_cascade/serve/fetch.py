"""Pictures by URL."""

from __future__ import annotations


async def fetch(url: str, *, max_bytes: int, timeout_s: float) -> bytes:
    """Placeholder until merged."""
    raise NotImplementedError(url, max_bytes, timeout_s)
