from __future__ import annotations

import re
from pathlib import Path

import pytest

from natix_cascade.engines.concepts import CONCEPTS, called
from natix_cascade.engines.facts import VERSIONS
from natix_cascade.engines.flag_lists import flag_list, nearest
from natix_cascade.engines.listed import against_list
from natix_cascade.engines.mistakes import OLD_FLAGS, WRONG_VALUES, environment_reason

HANDBOOK = Path(__file__).parents[2] / "docs/how-to/run-the-engines.md"
VALUES = {"json": "{}", "int": "1", "float": "0.5", "count": "64", "text": "x"}


@pytest.mark.parametrize("package", VERSIONS)
def test_lists_are_of_the_pinned_release_and_from_the_real_parser(package: str) -> None:
    found = flag_list(package)
    assert (found.engine, found.version) == (package, VERSIONS[package])
    assert found.how["list_is"] == "real"
    assert not [line for line in found.how["differences_of_static"] if "only in" in line]
    assert len({flag.names for flag in found.flags.values()}) == {"vllm": 316, "sglang": 531, "lmdeploy": 77}[package]


@pytest.mark.parametrize("package", VERSIONS)
def test_every_flag_is_taken_with_a_value_of_its_kind_and_not_without(package: str) -> None:
    found = flag_list(package)
    for name, flag in found.flags.items():
        needed = 1 if flag.values in {"1", "+"} else int(flag.values) if flag.values.isdigit() else 0
        value = (flag.choices or flag.accepts or (VALUES[flag.kind],))[0]
        words = ["m", name, *[value] * needed]
        assert list(against_list(package, words)) == [], words
        if needed == 1:
            assert [fault.says for fault in against_list(package, ["m", name])] == ["a value is missing"], name


@pytest.mark.parametrize("package", VERSIONS)
def test_the_table_names_flags_that_exist(package: str) -> None:
    known = flag_list(package).flags
    for concept in CONCEPTS:
        for entry in getattr(concept, package):
            name, *values = entry.split()
            assert name in known, concept.what
            if values:
                assert list(against_list(package, ["m", name, *values])) == [], entry


def test_the_handbook_has_the_whole_table() -> None:
    lines = HANDBOOK.read_text("utf-8").splitlines()
    for concept in CONCEPTS:
        cells = [", ".join(f"`{flag}`" for flag in getattr(concept, one)) or "none" for one in VERSIONS]
        assert f"| {concept.what} | {' | '.join(cells)} |" in lines


@pytest.mark.parametrize("package", VERSIONS)
def test_reasons_are_given_only_for_what_is_wrong(package: str) -> None:
    assert not OLD_FLAGS[package].keys() & flag_list(package).flags.keys()
    for engine, flag, value in WRONG_VALUES:
        if engine == package:
            known = flag_list(package).flags[flag]
            assert value not in (known.choices or known.accepts)
    mentioned = {word for why in OLD_FLAGS[package].values() for word in re.findall(r"--[a-z-]+", why)}
    assert mentioned <= flag_list(package).flags.keys()


def test_no_engine_reads_the_variables_that_are_refused() -> None:
    names = {name for package in VERSIONS for name in flag_list(package).environment}
    assert "VLLM_SERVER_DEV_MODE" in names
    assert [name for name in names if environment_reason(name)] == []


def test_another_engines_word_leads_to_ones_own() -> None:
    assert called("--gpu-memory-utilization", "sglang") == "that is vLLM's; SGLang calls it --mem-fraction-static"
    assert called("--hicache-size", "lmdeploy") == "that is SGLang's; LMDeploy has no key-value blocks in main memory"
    assert called("--nonsense", "vllm") is None


def test_the_nearest_word() -> None:
    assert nearest("--max-modle-len", ["--max-model-len", "--max-num-seqs"]) == "--max-model-len"
    assert nearest("--zzz", ["--max-model-len"]) is None
