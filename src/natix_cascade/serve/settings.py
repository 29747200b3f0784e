"""Options of a service from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from natix_cascade.errors import SpecError
from natix_cascade.serve.options import ServeOptions
from natix_cascade.spec.files import validate

__all__ = ["read_options"]


def read_options(path: Path) -> ServeOptions:
    """Read and validate a file.

    Raises
    ------
    SpecError
        It cannot be read, or a key is unknown or out of range; the text names file and key.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        return validate(ServeOptions, data, source=str(path))
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not TOML: {error}") from error
