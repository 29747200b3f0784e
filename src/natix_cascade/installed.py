"""Whether a package is there, found out without importing it."""

from __future__ import annotations

import importlib.util

__all__ = ["is_installed"]


def is_installed(module: str) -> bool:
    """Whether a module could be imported; of one inside packages these are."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it lies in
        return False
