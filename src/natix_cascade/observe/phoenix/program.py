"""How Phoenix's server is started: which Python, which command, which variables."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from natix_cascade.errors import MissingExtraError
from natix_cascade.observe.phoenix import launcher

__all__ = ["HOST", "VARIABLE", "command", "config_lines", "environment", "find_python"]

HOST = launcher.HOST
VARIABLE = "NATIX_CASCADE_PHOENIX"
_INSTALL = "python -m venv .venv-phoenix && .venv-phoenix/bin/pip install arize-phoenix"


def find_python(program: str | None = None) -> Path:
    """The Python of the environment that Phoenix is installed in.

    Parameters
    ----------
    program : str or None
        The program `phoenix` of that environment; None: the one that the variable `VARIABLE` names, else that on PATH.

    Raises
    ------
    MissingExtraError
        There is no such program, or no Python beside it.
    """
    given = program or os.environ.get(VARIABLE)
    found = shutil.which(given or "phoenix")
    if found is None:
        where = f"there is no program {given!r}" if given else "there is no program phoenix on PATH"
        raise MissingExtraError(
            f"{where}; install Phoenix's server into an environment of its own ({_INSTALL}) and name it with --program "
            f"or {VARIABLE}: .venv-phoenix/bin/phoenix"
        )
    folder = Path(found).resolve().parent  # a link may lie on PATH
    for name in ("python", "python3"):
        if (folder / name).exists():
            return folder / name
    raise MissingExtraError(f"beside {Path(found).resolve()} lies no python; name the phoenix of a virtual environment")


def command(python: Path, *, ends_with_us: bool) -> list[str]:
    """Program and arguments; a server that `ends_with_us` does not outlive this process."""
    return [str(python), launcher.__file__, *(["--ends-with-its-parent"] if ends_with_us else [])]


def environment(folder: Path, *, port: int, grpc_port: int) -> dict[str, str]:
    """Variables beside this process's own: SQLite in `folder`, loopback only, and no calls to anybody else."""
    return {
        "PHOENIX_WORKING_DIR": str(folder.absolute()),
        "PHOENIX_HOST": HOST,
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",  # it would send traces to a hosted model
        "PYTHONPATH": "",  # our packages are not its own
    }


def config_lines(url: str, project: str) -> str:
    """What sends a service's traces there: lines for its TOML file."""
    return f'[observe.phoenix]\nurl = "{url}"\nproject = "{project}"'
