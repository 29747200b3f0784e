"""Results reach the disk whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | Path, content: bytes, *, mode: int = 0o644) -> Path:
    """Write a file through a temporary one beside it, so that nobody ever reads half of it.

    Parameters
    ----------
    path : str or Path
        The file; folders above it are made.
    content : bytes
        All of it.
    mode : int
        Who may read and write it.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    import tempfile  # noqa: PLC0415  # slow to import; reading cascades does not need it

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target
