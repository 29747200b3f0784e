"""What the verbs share: where output goes, how errors look, exit codes.

Exit codes: 0 all is well; 1 the work was done but something in it failed (a picture, a promise); 2 the command
itself cannot be carried out (wrong option, missing file, bad cascade); 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "CascadeOption",
    "EndpointsOption",
    "JsonOption",
    "PolicyOption",
    "console",
    "fail",
    "picture_files",
    "print_json",
    "printable",
]

FAILED, UNUSABLE = 1, 2
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

CascadeOption = Annotated[
    str, typer.Option("--cascade", "-c", help="Shipped cascade by name, or a YAML or JSON file.", show_default=True)
]
PolicyOption = Annotated[
    str | None,
    typer.Option("--policy", "-p", help="Policy by name or file; 'none' for raw scores. Default: the cascade's own."),
]
EndpointsOption = Annotated[
    str | None,
    typer.Option(
        "--endpoints",
        help="File that says where the servers of vision-language models listen. Default: NATIX_CASCADE_ENDPOINTS.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]


def console() -> Console:
    """A console on standard error: progress and remarks never mix with results."""
    from rich.console import Console  # slow to import; --json does without it

    return Console(stderr=True)


def print_json(data: Any, *, lines: bool = False) -> None:
    """Print JSON on standard output: indented, or one line (NDJSON)."""
    indent = None if lines else 2
    sys.stdout.write(printable(json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Text that any UTF-8 output takes: what is not UTF-8 in a file's name becomes an escape, as JSON has it."""
    return text.encode("utf-8", "backslashreplace").decode()


def fail(message: object, *, code: int = UNUSABLE) -> NoReturn:
    """Say on standard error what is wrong, and leave."""
    sys.stderr.write(f"error: {message}\n")
    raise typer.Exit(code)


def picture_files(inputs: list[str]) -> list[Path]:
    """Files as given, and the pictures of folders (recursively, sorted by name)."""
    found: list[Path] = []
    for item in inputs:
        path = Path(item)
        if path.is_dir():
            found.extend(sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()))
        else:
            found.append(path)
    return found
