"""Asking an engine's own argument parser, in the Python that has the engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from natix_cascade.errors import MissingExtraError
from natix_cascade.installed import is_installed

__all__ = ["judge", "own_python"]

_SCRIPT = Path(__file__).parent / "own_parser.py"
_PATIENCE_S = 300.0
_QUIET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}


def own_python(package: str) -> str | None:
    """Path of the running Python, if it has the engine."""
    return sys.executable if is_installed(package) else None


def judge(package: str, commands: Sequence[Sequence[str]], python: str) -> tuple[str, list[str | None]]:
    """What the engine's own parser says of commands.

    Parameters
    ----------
    package : {"vllm", "sglang", "lmdeploy"}
        The engine.
    commands : sequence of sequences of str
        Words after the serving command.
    python : str
        A Python that can import the engine; it is started once for all commands.

    Returns
    -------
    version : str
        Of the engine that answered.
    problems : list
        For each command its objection, or None.

    Raises
    ------
    MissingExtraError
        That Python cannot build the parser.
    """
    # SGLang's launcher takes the model as a first word too and hands it on as a flag
    plain = [list(words) for words in commands]
    if package == "sglang":
        plain = [["--model-path", *w] if w and not w[0].startswith("-") else w for w in plain]
    try:
        done = subprocess.run(  # noqa: S603  # the Python that the user names
            [python, str(_SCRIPT)],
            input=json.dumps({"engine": package, "commands": plain}),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
            env=os.environ | _QUIET,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingExtraError(f"{python} cannot be asked for {package}'s parser: {error}") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no word of it"])[-1]
        raise MissingExtraError(
            f"{python} cannot build {package}'s parser: {last}. Name a Python that has {package}, or none: the stored "
            "flag list is used then"
        )
    answer = json.loads(lines[-1])
    return str(answer["version"]), [None if one is None else str(one) for one in answer["problems"]]
