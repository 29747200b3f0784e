"""Write the stored lists of the engines' flags: ``src/natix_cascade/engines/flags/ENGINE-VERSION.json``.

The list comes from the engine's real argument parser where a Python is given that can import it (no GPU is needed to
build the parser), and from the sources' syntax trees otherwise; with both, the two are compared and every difference
is written down. Sources: a wheel (``pip download --no-deps vllm==0.32.0``) or an installed package's folder.

Examples::

    python tools/engine_flags.py vllm --wheel vllm-0.32.0-....whl --python ~/vllm/bin/python
    python tools/engine_flags.py lmdeploy --wheel lmdeploy-0.18.0-....whl
"""  # a script, not a package

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import static_flags

ROOT = Path(__file__).resolve().parent.parent
OWN_PARSER = ROOT / "src/natix_cascade/engines/own_parser.py"
FLAGS = ROOT / "src/natix_cascade/engines/flags"
_PARTS = ("names", "values", "type", "choices", "required")


def main() -> None:
    """Read, compare, write."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    words.add_argument("engine", choices=["vllm", "sglang", "lmdeploy"])
    source = words.add_mutually_exclusive_group(required=True)
    source.add_argument("--wheel", type=Path, help="The release's wheel.")
    source.add_argument("--package", type=Path, help="Folder of the installed package.")
    words.add_argument("--version", help="Of an installed package; a wheel says it itself.")
    words.add_argument("--python", help="A Python that can import the engine.")
    words.add_argument("--python-is", default="", help="In words: what that Python has, for the record.")
    words.add_argument("--out", type=Path, default=FLAGS)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        package, version = given.package, given.version
        if given.wheel is not None:
            package, version = _unpacked(given.wheel, given.engine, Path(scratch)), given.wheel.name.split("-")[1]
        listed = _list(given.engine, package, version, given.python, given.python_is)
    target = given.out / f"{given.engine}-{listed['version']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_written(listed))
    sys.stdout.write(f"{target}: {len(listed['flags'])} flags; {json.dumps(listed['made'], indent=1)}\n")


def _unpacked(wheel: Path, engine: str, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if n.endswith(".py") and n.startswith(f"{engine}/")])
    return folder / engine


def _list(engine: str, package: Path, version: str | None, python: str | None, python_is: str) -> dict[str, Any]:
    positional, flags = static_flags.read(engine, package)
    made: dict[str, Any] = {"static": f"syntax trees of the sources of {engine} {version}"}
    if python is not None:
        done = subprocess.run(  # the Python that the caller names
            [python, str(OWN_PARSER)],
            input=json.dumps({"engine": engine}),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        real = json.loads(done.stdout)
        made["real"] = f"the argument parser of {engine} {real['version']}, built without a GPU" + (
            f" ({python_is})" if python_is else ""
        )
        made["list_is"] = "real"
        made["differences_of_static"] = list(_differences(flags, real["flags"]))
        positional, flags = real["positional"], real["flags"]
        version = version or real["version"]
    else:
        made["list_is"] = "static"
    _add(engine, package, flags)
    return {
        "engine": engine,
        "version": version or "unknown",
        "made": made,
        "positional": positional,
        "flags": flags,
        "environment": static_flags.environment(engine, package),
    }


def _differences(static: list[dict[str, Any]], real: list[dict[str, Any]]) -> Iterator[str]:
    left, right = ({name: flag for flag in flags for name in flag["names"]} for flags in (static, real))
    for name in sorted(left.keys() | right.keys()):
        if name not in left or name not in right:
            yield f"{name}: only in {'real' if name in right else 'static'}"
        elif (one := left[name]) != (other := right[name]) and name == other["names"][0]:
            parts = [part for part in _PARTS if one.get(part) != other.get(part)]
            yield f"{name}: {', '.join(parts)}"


def _add(engine: str, package: Path, flags: list[dict[str, Any]]) -> None:
    """Add what the parser takes but the engine looks at later, and what a parser without a GPU does not offer."""
    known = {name: flag for flag in flags for name in flag["names"]}
    if engine == "vllm":
        tree = ast.parse((package / "model_executor/layers/quantization/__init__.py").read_text("utf-8"))
        known["--quantization"]["accepts"] = sorted(_literal(tree, "QuantizationMethods"))
        known["--mm-processor-device"]["choices"] = ["auto", "cpu", "cuda"]
    if engine == "lmdeploy":
        tree = ast.parse((package / "messages.py").read_text("utf-8"))
        names = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "QuantPolicy")
        values = {
            n.targets[0].id.lower(): str(n.value.value)
            for n in names.body
            if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and isinstance(n.value, ast.Constant)
        }
        known["--quant-policy"]["accepts"] = sorted({*values, *values.values(), "fp8_e4m3"})


def _literal(tree: ast.Module, name: str) -> list[str]:
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == name
            and isinstance(node.value, ast.Subscript)
        ):
            options = node.value.slice
            return [str(n.value) for n in getattr(options, "elts", [options]) if isinstance(n, ast.Constant)]
    raise SystemExit(f"no {name} in the sources; the engine has changed: look where its methods are listed now")


def _written(listed: dict[str, Any]) -> str:
    """JSON with one flag a line, so that a new release's changes can be read."""
    head = {name: value for name, value in listed.items() if name not in {"flags", "environment"}}
    flags = ",\n".join(f"  {json.dumps(flag)}" for flag in listed["flags"])
    names = ",\n".join(f"  {json.dumps(name)}" for name in listed["environment"])
    return f'{json.dumps(head, indent=1)[:-2]},\n "flags": [\n{flags}\n ],\n "environment": [\n{names}\n ]\n}}\n'


if __name__ == "__main__":
    main()
