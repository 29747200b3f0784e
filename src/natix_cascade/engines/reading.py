"""Commands out of files: shell scripts, systemd units, compose files, Helm values, and what this project planned."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from natix_cascade.engines.check import Problem
from natix_cascade.engines.commands import command
from natix_cascade.engines.mistakes import GUIDED
from natix_cascade.engines.server import Command, ServerPlans
from natix_cascade.engines.words import package_of
from natix_cascade.errors import SpecError
from natix_cascade.spec.files import validate

__all__ = ["commands_of", "old_requests", "plans_of"]

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_ENDS = {"&", "&&", "|", "||", ";", ";;", "(", ")", "{", "}"}
_REDIRECT = re.compile(r"[<>]")


def commands_of(text: str, source: str) -> list[Command]:
    """The commands of a file that start servers.

    Parameters
    ----------
    text : str
        The file.
    source : str
        Its name: what ends in ``.service``, ``.yaml``, ``.yml`` or ``.json`` is read as that, all else as a shell
        script.

    Raises
    ------
    SpecError
        The file is not what its name says.
    """
    suffix = Path(source).suffix
    if suffix == ".service":
        return list(_unit(text, source))
    if suffix in {".yaml", ".yml"}:
        return list(_yaml(text, source))
    if suffix == ".json":
        return [
            replace(command(plan, contained=contained), source=f"{source}: {plan.name}")
            for plan in plans_of(text, source).servers
            for contained in (False, True)
        ]
    return list(_shell(text, source))


def plans_of(text: str, source: str) -> ServerPlans:
    """Servers as ``engines plan --out`` wrote them (the commands that JSON files carry besides are made anew)."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SpecError(f"{source}: not JSON: {error}") from None
    if isinstance(data, dict):
        data.pop("commands", None)
    return validate(ServerPlans, data, source=source)


def old_requests(text: str, source: str) -> Iterator[Problem]:
    """Lines with request fields that newer engines ignore without a word."""
    for number, line in enumerate(text.splitlines(), 1):
        found = GUIDED.search(line)
        if found is not None and not line.lstrip().startswith("#"):
            says = "newer engines ignore this field without a word; ask with structured_outputs or logprob_token_ids"
            yield Problem(f"{source}:{number}", "", found.group(), says)


# ------------------------------------------------------------------------------------------------------------ shell


def _shell(text: str, source: str) -> Iterator[Command]:
    exported: dict[str, str] = {}
    for number, line in _logical_lines(text):
        try:
            words = _shell_words(line)
        except ValueError:
            if package_of(line.split()) is not None:
                raise SpecError(f"{source}:{number}: quotes do not match") from None
            continue
        for part in _simple_commands(words):
            assigned, rest = _assignments(part)
            if not rest or rest[0] in {"export", "set"}:
                exported |= assigned | dict(word.split("=", 1) for word in rest[1:] if _ASSIGNMENT.match(word))
            elif (known := package_of(rest)) is not None:
                lead = rest[: known[1]]
                own = dict(word.split("=", 1) for word in lead if _ASSIGNMENT.match(word))
                yield Command(words=tuple(rest), environment=exported | assigned | own, source=f"{source}:{number}")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations, and the number of the first."""
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if pending else number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        whole, pending = pending + line, ""
        yield first, whole
    if pending:
        yield first, pending


def _shell_words(line: str) -> list[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    reader.whitespace_split = True
    return list(reader)


def _simple_commands(words: list[str]) -> Iterator[list[str]]:
    """Split at ``&&``, ``;``, ``|`` and the like; redirections are left out."""
    part: list[str] = []
    skip = False
    for n, word in enumerate(words):
        after = words[n + 1] if n + 1 < len(words) else ""
        if skip:
            skip = False
        elif word in _ENDS:
            yield part
            part = []
        elif _REDIRECT.match(word) and not word.strip("<>&|"):
            skip = True
        elif not (word.isdigit() and after and not after.strip("<>&|") and _REDIRECT.match(after)):
            part.append(word)
    yield part


def _assignments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    assigned: dict[str, str] = {}
    rest = list(words)
    while rest and _ASSIGNMENT.match(rest[0]):
        name, value = rest.pop(0).split("=", 1)
        assigned[name] = value
    return assigned, rest


# ---------------------------------------------------------------------------------------------------- units and YAML


def _unit(text: str, source: str) -> Iterator[Command]:
    environment: dict[str, str] = {}
    starts: list[tuple[int, list[str]]] = []
    for number, line in _logical_lines(text):
        key, equals, value = line.strip().partition("=")
        if not equals or key not in {"Environment", "ExecStart"}:
            continue
        try:
            words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(value)]
        except ValueError:
            raise SpecError(f"{source}:{number}: quotes do not match") from None
        if key == "Environment":
            environment |= dict(word.split("=", 1) for word in words if "=" in word)
        else:
            starts.append((number, [words[0].lstrip("@-:+!"), *words[1:]] if words else []))
    for number, words in starts:
        yield Command(words=tuple(words), environment=environment, source=f"{source}:{number}")


def _yaml(text: str, source: str) -> Iterator[Command]:
    import yaml  # noqa: PLC0415  # slow to import

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: not YAML: {error}") from None
    for document in documents:
        yield from _within(document, source, "")


def _within(data: Any, source: str, path: str) -> Iterator[Command]:
    """Whatever has a command: services of compose files, containers of manifests, entries of values."""
    if isinstance(data, list):
        for n, item in enumerate(data):
            name = item.get("name", n) if isinstance(item, dict) else n
            yield from _within(item, source, f"{path}.{name}")
    elif isinstance(data, dict):
        compose = "entrypoint" in data or "services" in path
        words = [w for key in ("entrypoint", "command", "args") if key in data for w in _listed(data[key])]
        if compose:
            words = [word.replace("$$", "$") for word in words]
        image = data.get("image")
        if words and isinstance(image, str) and "entrypoint" not in data and package_of(words) is None:
            words = ["run", image, *words]
        if words and package_of(words) is not None:
            yield Command(
                words=tuple(words),
                environment=_variables(data.get("environment", data.get("env"))),
                name=path.rsplit(".", 1)[-1],
                source=f"{source}: {path.lstrip('.')}",
            )
        for key, value in data.items():
            yield from _within(value, source, f"{path}.{key}")


def _listed(value: Any) -> list[str]:
    return shlex.split(value) if isinstance(value, str) else [str(one) for one in value or ()]


def _variables(data: Any) -> dict[str, str]:
    if isinstance(data, dict):
        return {str(key): str(value) for key, value in data.items()}
    found: dict[str, str] = {}
    for one in data if isinstance(data, list) else ():
        if isinstance(one, dict):
            found[str(one.get("name"))] = str(one.get("value"))
        else:
            name, _, value = str(one).partition("=")
            found[name] = value
    return found
