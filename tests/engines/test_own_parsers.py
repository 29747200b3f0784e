"""The engines' real argument parsers, where a Python that has them is named, against the stored lists."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from command_texts import MISTAKES, TAKEN
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server_plans import possible

from natix_cascade.engines import own_parser
from natix_cascade.engines.asking import judge
from natix_cascade.engines.check import check_commands
from natix_cascade.engines.commands import command
from natix_cascade.engines.facts import VERSIONS
from natix_cascade.engines.flag_lists import FOLDER
from natix_cascade.engines.server import Command, ServerPlan
from natix_cascade.engines.words import package_of
from natix_cascade.errors import MissingExtraError

ONLY_LATER = ("-q int4", "modelopt_fp8")  # refused after parsing; see own_parser


def python_of(package: str) -> str:
    """The Python that a variable names, or the one beside the vllm program that another names."""
    named = os.environ.get(f"NATIX_CASCADE_{package.upper()}_PYTHON")
    program = os.environ.get("NATIX_CASCADE_VLLM") if package == "vllm" else None
    beside = Path(program).parent / "python" if program else None
    found = named or (str(beside) if beside is not None and beside.exists() else None)
    if found is None:
        pytest.skip(f"set NATIX_CASCADE_{package.upper()}_PYTHON to a Python that has {package} {VERSIONS[package]}")
    return found


pytestmark = [pytest.mark.vllm, pytest.mark.parametrize("package", VERSIONS)]


def test_the_stored_list_is_the_parsers(package: str) -> None:
    done = subprocess.run(
        [python_of(package), own_parser.__file__],
        input=json.dumps({"engine": package}),
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    real = json.loads(done.stdout)
    stored = json.loads((FOLDER / f"{package}-{VERSIONS[package]}.json").read_text("utf-8"))
    assert real["version"] == VERSIONS[package]
    assert real["positional"] == stored["positional"]
    for flag in stored["flags"]:
        flag.pop("accepts", None)
        if flag["names"] == ["--mm-processor-device"]:
            flag["choices"].remove("cuda")  # offered where there is one
    assert real["flags"] == stored["flags"]


def test_servers_that_can_be_planned_are_taken(package: str) -> None:
    python = python_of(package)
    drawn: list[Command] = []

    @given(plan=possible(), contained=st.booleans())
    @settings(
        max_examples=150, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    def draw(plan: ServerPlan, contained: bool) -> None:  # noqa: FBT001  # drawn
        made = command(plan, contained=contained)
        if (package_of(made.words) or ("",))[0] == package:
            drawn.append(replace(made, name=str(len(drawn))))

    draw()
    assert len(drawn) > 10
    found = check_commands(drawn, pythons={package: python})
    assert found.problems == ()
    assert found.judges[package].startswith(f"argument parser of {package} {VERSIONS[package]}")


def test_the_parser_and_the_list_say_the_same_of_mistakes(package: str) -> None:
    python = python_of(package)
    texts = [
        text for text in (*TAKEN, *(mistake[0] for mistake in MISTAKES)) if "$" not in text and "docker" not in text
    ]
    words = [shlex.split(text) for text in texts]
    ours = [
        (text, list(one[known[1] :])) for text, one in zip(texts, words, strict=True)
        if (known := package_of(one)) is not None and known[0] == package
    ]  # fmt: skip
    _, answers = judge(package, [rest for _, rest in ours], python)
    taken = {text: answer is None for (text, _), answer in zip(ours, answers, strict=True)}
    by_list = {text: not check_commands([Command(words=tuple(shlex.split(text)))]).problems for text, _ in ours}
    wrong = [text for text in by_list if by_list[text] and not taken[text]]
    assert wrong == []  # what the list takes, the parser takes
    stricter = [text for text in by_list if taken[text] and not by_list[text]]
    assert all(text in {mistake[0] for mistake in MISTAKES} for text in stricter)


def test_a_python_without_the_engine_is_told(package: str, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\nexec python3 -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(MissingExtraError, match="cannot build"):
        judge(package, [["m"]], str(bare))
