"""A checkpoint of torch (``.pt``) to safetensors, in a process of its own with limits: ``python -m ... IN OUT``.

A ``.pt`` is a pickle, and loading a pickle can run whatever its author wrote into it. Here it is read with
``torch.load(weights_only=True)``, which knows tensors and plain containers and nothing else, by a child that may use
only so much memory and time; only a plain dict of named tensors is taken. Everything else reads the safetensors.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from natix_cascade.errors import MissingExtraError, ModelError
from natix_cascade.models.manifest import Manifest, describe, hash_files, read_manifest, write_manifest

__all__ = ["WEIGHTS", "convert", "main"]

WEIGHTS = "model.safetensors"
_REFUSED, _NO_TORCH = 3, 4
_ROOM, _TIMES = 2 * 1024**3, 4  # bytes of memory beside torch itself: this, and so many times the file
_GREEDY = "it wants more memory than a file of its size should"
_SECONDS, _BYTES_A_SECOND = 120, 20e6


def convert(checkpoint: Path, store: Path) -> Path:
    """Convert a checkpoint, or find it converted.

    Parameters
    ----------
    checkpoint : Path
        The ``.pt``.
    store : Path
        Folder of all that was converted; each lies below the sha256 of what it was made from.

    Returns
    -------
    Path
        A folder with ``model.safetensors`` and ``manifest.json``.

    Raises
    ------
    MissingExtraError
        torch is not installed.
    ModelError
        It is no plain dict of tensors, or took more memory or time than it may.
    """
    digest = hash_files([checkpoint])[0]
    out = store / digest
    if read_manifest(out) is None:
        _run(checkpoint, out)
        if not (out / WEIGHTS).is_file():
            raise ModelError(f"{checkpoint}: the conversion left nothing in {out}; try again")
        files = tuple(describe(out, [WEIGHTS]))
        write_manifest(out, Manifest(name=checkpoint.stem, made_from=digest, files=files))
    return out


def _run(checkpoint: Path, out: Path) -> None:
    seconds = _SECONDS + checkpoint.stat().st_size / _BYTES_A_SECOND
    command = [sys.executable, "-P", "-m", "natix_cascade.models.convert", str(checkpoint), str(out)]
    try:
        done = subprocess.run(  # noqa: S603  # this very program, without a shell
            command, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{checkpoint}: not converted within {seconds:.0f} s; it is no ordinary checkpoint") from None
    if done.returncode == 0:
        return
    said = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode == _NO_TORCH:
        raise MissingExtraError(f"{checkpoint}: {said}")
    if done.returncode == _REFUSED:
        raise ModelError(f"{checkpoint}: {said}")
    raise ModelError(
        f"{checkpoint}: the conversion failed with code {done.returncode} ({said or 'it may have used more memory or '}"
        f"{'' if said else 'time than it may'}); write its tensors with safetensors.torch.save_file instead"
    )


def main(arguments: list[str]) -> int:
    """Convert in this process; see `convert`, which runs it as a child.

    Parameters
    ----------
    arguments : list of str
        The checkpoint, and the folder to write ``model.safetensors`` into.

    Returns
    -------
    int
        0; 3 when the file is refused; 4 when torch is missing. The reason is the last line on standard error.
    """
    source, out = Path(arguments[0]), Path(arguments[1])
    try:
        import safetensors.torch  # noqa: PLC0415  # an optional extra
        import torch  # noqa: PLC0415  # an optional extra
    except ImportError as error:
        sys.stderr.write(f"converting a .pt needs {error.name}; install it with: pip install 'natix-cascade[torch]'\n")
        return _NO_TORCH
    try:
        _limit(source.stat().st_size)
        found = torch.load(source, map_location="cpu", weights_only=True)
        problem = _problem(found, torch)
        if problem is None:
            _save(found, out, safetensors.torch.save_file)
    except MemoryError:
        problem = _GREEDY
    except Exception as error:  # noqa: BLE001  # whatever a strange file makes it say
        problem = _why(error)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        return _REFUSED
    return 0


def _save(tensors: dict[str, Any], out: Path, save: Callable[[dict[str, Any], Path], None]) -> None:
    """Write them whole or not at all; tensors that share memory are written each for itself."""
    out.mkdir(parents=True, exist_ok=True)
    half = out / f".{os.getpid()}.{WEIGHTS}"
    try:
        save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, half)
        half.replace(out / WEIGHTS)
    finally:
        half.unlink(missing_ok=True)


def _limit(size: int) -> None:
    """Memory beyond what this process has now, processor time and the largest file that it may write."""
    import resource  # noqa: PLC0415  # needed in the child only

    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    memory = pages * resource.getpagesize() + _ROOM + _TIMES * size
    seconds = math.ceil(_SECONDS + size / _BYTES_A_SECOND)
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _TIMES * size + 2**20),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))


def _why(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if (named := re.search(r"GLOBAL (\S+)", str(error))) is not None:
        return (
            f"it holds {named[1]} beside tensors, and code from a checkpoint is never run; write its tensors with "
            "torch.save(model.state_dict(), ...) or with safetensors"
        )
    if "memory" in text:
        return _GREEDY
    return f"it cannot be read as a checkpoint ({type(error).__name__}: {text[:200]})"


def _problem(found: object, torch: Any) -> str | None:
    """Why it is not a plain dict of named tensors; None if it is one."""
    tensor: type = torch.Tensor
    if not isinstance(found, dict):
        return f"it holds {type(found).__name__}, wanted a plain dict of tensors; write model.state_dict()"
    others = [str(name) for name, value in found.items() if not isinstance(name, str) or not isinstance(value, tensor)]
    if others or not found:
        return (
            f"it is no plain dict of tensors ({', '.join(others[:5]) or 'it is empty'}); write model.state_dict() "
            "alone, without optimizer or epoch"
        )
    odd = [
        name
        for name, value in found.items()
        if value.layout is not torch.strided or value.is_quantized or value.is_meta
    ]
    return f"tensors {', '.join(odd[:5])} are sparse, quantized or empty shells; write plain ones" if odd else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
