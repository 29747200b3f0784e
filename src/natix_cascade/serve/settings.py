"""Options of a service from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from natix_cascade.errors import SpecError
from natix_cascade.serve.options import ServeOptions

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
        return TypeAdapter(ServeOptions).validate_python(data)
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise SpecError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
