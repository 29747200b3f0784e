"""Whether commands start what they are meant to: flags, values, variables, models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from natix_cascade.engines.asking import judge
from natix_cascade.engines.facts import VERSIONS
from natix_cascade.engines.flag_lists import flag_list, nearest
from natix_cascade.engines.listed import Fault, against_list
from natix_cascade.engines.mistakes import environment_reason
from natix_cascade.engines.models import against_model
from natix_cascade.engines.server import Command
from natix_cascade.engines.words import package_of
from natix_cascade.spec.card import ModelCard

__all__ = ["Checked", "Problem", "check_commands"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong.

    Attributes
    ----------
    source : str
        Where the command stands.
    server : str
        Which server it starts, if known.
    flag : str
        Flag, word or variable.
    says : str
        What is wrong, and what to do.
    """

    source: str
    server: str
    flag: str
    says: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome.

    Attributes
    ----------
    problems : tuple of Problem
        None where all is well.
    commands : dict
        Package to number of commands seen.
    judges : dict
        Package to who judged them.
    """

    problems: tuple[Problem, ...]
    commands: dict[str, int]
    judges: dict[str, str]


def check_commands(
    commands: Sequence[Command],
    *,
    cards: Mapping[str, ModelCard] | None = None,
    pythons: Mapping[str, str] | None = None,
) -> Checked:
    """Check the commands that start servers; commands of other programs are passed over.

    Parameters
    ----------
    commands : sequence of Command
        As rendered, or as read from files.
    cards : mapping or None
        Known models by name.
    pythons : mapping or None
        Package to a Python that has it: its own parser is asked besides the stored list.
    """
    found: list[tuple[Command, str, list[str]]] = []
    for command in commands:
        known = package_of(command.words)
        if known is not None:
            found.append((command, known[0], list(command.words[known[1] :])))
    problems: list[Problem] = []
    for command, package, words in found:
        faults = [*against_list(package, words), *_variables(package, command.environment)]
        faults += against_model(package, words, cards or {})
        problems += [Problem(command.source, command.name, fault.flag, fault.says) for fault in faults]
    counts = {package: sum(one == package for _, one, _ in found) for package in VERSIONS}
    counts = {package: number for package, number in counts.items() if number}
    judges = {package: f"stored flag list of {package} {VERSIONS[package]}" for package in counts}
    for package in counts:
        if pythons and package in pythons:
            version, more = _asked(pythons[package], package, [one for one in found if one[1] == package], problems)
            problems += more
            judges[package] = f"argument parser of {package} {version}, and the {judges[package]}"
    return Checked(tuple(problems), counts, judges)


def _asked(
    python: str, package: str, found: Sequence[tuple[Command, str, list[str]]], known: Sequence[Problem]
) -> tuple[str, list[Problem]]:
    """What the engine's own parser objects to where the stored list had nothing to say."""
    version, answers = judge(package, [words for _, _, words in found], python)
    told = {(problem.source, problem.server) for problem in known}
    return version, [
        Problem(command.source, command.name, package, f"its own parser says: {says}")
        for (command, _, _), says in zip(found, answers, strict=True)
        if says is not None and (command.source, command.name) not in told and not _open(command)
    ]


def _open(command: Command) -> bool:
    """Whether a shell's variables stand in it, whose values are not known."""
    return any("$" in word for word in command.words)


def _variables(package: str, environment: Mapping[str, str]) -> Iterator[Fault]:
    known = flag_list(package).environment
    for name in environment:
        reason = environment_reason(name)
        if reason is not None and name not in known:
            yield Fault(name, reason)
        elif name.startswith(f"{package.upper()}_") and name not in known:
            close = nearest(name, list(known))
            hint = f"; did you mean {close}?" if close else ""
            yield Fault(name, f"{package} {VERSIONS[package]} does not read it{hint}")
