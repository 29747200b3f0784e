from __future__ import annotations

import random
import shlex

import pytest
from command_texts import MISTAKES, TAKEN
from hypothesis import given, settings
from hypothesis import strategies as st
from server_plans import possible, server

from natix_cascade.engines.check import check_commands
from natix_cascade.engines.commands import command
from natix_cascade.engines.flag_lists import flag_list
from natix_cascade.engines.server import Command, ServerPlan
from natix_cascade.engines.words import package_of
from natix_cascade.spec.library import known_cards

CARDS = {name: item.card for name, item in known_cards().items()}


def said(text: str, **environment: str) -> dict[str, str]:
    """Flag to complaint of one command."""
    found = check_commands([Command(words=tuple(shlex.split(text)), environment=environment)], cards=CARDS)
    return {problem.flag: problem.says for problem in found.problems}


@given(plan=possible(), contained=st.booleans())
@settings(max_examples=120, deadline=None)
def test_every_server_that_can_be_planned_gets_a_right_command(plan: ServerPlan, contained: bool) -> None:  # noqa: FBT001  # drawn
    found = check_commands([command(plan, contained=contained)], cards=CARDS)
    assert found.problems == ()
    assert sum(found.commands.values()) == 1


def flags_of(words: tuple[str, ...]) -> list[int]:
    return [n for n, word in enumerate(words) if word.startswith("--")]


@given(plan=possible(), seed=st.integers(0, 2**32))
@settings(max_examples=120, deadline=None)
def test_a_mistyped_flag_is_caught_and_the_right_one_named(plan: ServerPlan, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # a test's choice
    words = list(command(plan).words)
    at = chance.choice(flags_of(tuple(words)))
    right = words[at]
    place = chance.randrange(3, len(right))
    wrong = chance.choice([right[:place] + right[place + 1 :], right[:place] + "x" + right[place:]])
    known = flag_list((package_of(words) or ("", 0))[0]).flags
    if wrong in known or wrong == right:
        return
    words[at] = wrong
    problems = check_commands([Command(words=tuple(words))], cards=CARDS).problems
    ours = [problem for problem in problems if problem.flag == wrong]
    assert len(ours) == 1
    assert "no such flag" in ours[0].says
    assert right in ours[0].says or len(right) < 8 or "did you mean" in ours[0].says or "write" in ours[0].says


@given(plan=possible(), seed=st.integers(0, 2**32))
@settings(max_examples=120, deadline=None)
def test_a_lost_value_is_caught(plan: ServerPlan, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # a test's choice
    words = command(plan).words
    package, lead = package_of(words) or ("", 0)
    known = flag_list(package).flags
    valued = [n for n in flags_of(words) if n >= lead and known[words[n]].values in {"1", "+"}]
    at = chance.choice(valued)
    end = next((n for n in flags_of(words) if n > at), len(words))
    cut = words[: at + 1] + words[end:]
    problems = check_commands([Command(words=cut)], cards=CARDS).problems
    assert [problem.says for problem in problems if problem.flag == words[at]] == ["a value is missing"]


@given(plan=possible(), seed=st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_a_wrong_choice_is_caught(plan: ServerPlan, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # a test's choice
    words = list(command(plan).words)
    known = flag_list((package_of(words) or ("", 0))[0]).flags
    at = chance.choice([n for n in flags_of(tuple(words)) if known[words[n]].choices])
    flag, words[at + 1] = words[at], "nonsense"
    problems = check_commands([Command(words=tuple(words))], cards=CARDS).problems
    assert problems[0].flag == flag
    assert "nonsense" in problems[0].says


@pytest.mark.parametrize(("text", "flag", "told"), MISTAKES)
def test_known_mistakes_get_their_reasons(text: str, flag: str, told: str) -> None:
    found = said(text)
    assert told in found.pop(flag)
    assert found == {}


@pytest.mark.parametrize("text", TAKEN)
def test_what_engines_take_is_taken(text: str) -> None:
    assert said(text) == {}


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("VLLM_USE_SPARK", "SparK is a method of a paper"),
        ("SPARK_SPARSITY_RATIO", "SparK is a method of a paper"),
        ("SPARK_ANYTHING", "no release"),
        ("VLLM_USE_V1", "only engine"),
        ("VLLM_SERVER_DEV_MOD", "did you mean VLLM_SERVER_DEV_MODE?"),
    ],
)
def test_variables_that_nothing_reads_are_refused(variable: str, told: str) -> None:
    assert told in said("vllm serve m", **{variable: "1"})[variable]


def test_variables_of_others_are_nobodys_business() -> None:
    assert said("vllm serve m", HF_HOME="x", VLLM_SERVER_DEV_MODE="1", CUDA_VISIBLE_DEVICES="0", LMCACHE_X="1") == {}


def test_other_commands_are_passed_over() -> None:
    found = check_commands([Command(words=("vllm", "bench", "--nonsense")), Command(words=("ls", "--nonsense"))])
    assert (found.problems, found.commands) == ((), {})


def test_problems_name_the_server_and_the_place() -> None:
    from dataclasses import replace

    wrong = replace(command(server()), source="units: 7", words=("vllm", "serve", "m", "--nonsense"))
    problem = check_commands([wrong]).problems[0]
    assert (problem.source, problem.server, problem.flag) == ("units: 7", "qwen3-vl-4b", "--nonsense")
