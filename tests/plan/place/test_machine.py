"""Machines: read from a text or from TOML, and refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from natix_cascade.errors import CascadeError, PlanError, SpecError
from natix_cascade.plan.place import read_machine

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "count", "name", "least", "most"),
    [
        ("2xH100-80GB", 2, "H100-80GB", 79 * GIB, 80 * GIB),
        ("H100-80GB", 1, "H100-80GB", 79 * GIB, 80 * GIB),
        ("1xA100-40GB", 1, "A100-40GB", 40e9, 40e9),
        ("8xH200-141GB", 8, "H200-141GB", 139 * GIB, 141 * GIB),
        ("1xRTX4060-8GB", 1, "RTX4060-8GB", 8e9, 8e9),
        (" 3xT4-16GB ", 3, "T4-16GB", 16e9, 16e9),
    ],
)
def test_a_text_is_a_machine(text: str, count: int, name: str, least: float, most: float) -> None:
    machine = read_machine(text)
    assert [gpu.name for gpu in machine.gpus] == [name] * count
    assert all(least <= gpu.memory <= most for gpu in machine.gpus)
    assert machine.host_assumed
    assert machine.host >= 16e9


def test_cpu_has_no_gpus_and_ram_may_be_said() -> None:
    machine = read_machine("cpu", host_gib=24)
    assert (machine.gpus, machine.host, machine.host_assumed) == ((), 24 * GIB, False)
    assert machine.groups() == ()


def test_kinds_are_joined_and_only_equal_gpus_hold_a_model_together() -> None:
    machine = read_machine("2xH100-80GB+1xA100-40GB")
    assert machine.groups() == ((0, 1), (2,))


@pytest.mark.parametrize(
    "text", ["2xH100", "", "  ", "0xH100-80GB", "65xH100-80GB", "2xH100-80", "2xH100-0GB", "CPU+", "-1xT4-16GB"]
)
def test_what_is_no_machine_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="such as 2xH100-80GB"):
        read_machine(text)


def test_many_kinds_of_too_many_gpus_are_refused() -> None:
    with pytest.raises(PlanError, match="at most 64"):
        read_machine("60xH100-80GB+60xA100-40GB")


@pytest.mark.parametrize("gib", [0.0, -1.0, float("nan")])
def test_ram_is_above_nothing(gib: float) -> None:
    with pytest.raises(PlanError, match="above 0"):
        read_machine("cpu", host_gib=gib)


def test_a_file_says_more(tmp_path: Path) -> None:
    file = tmp_path / "rack.toml"
    file.write_text(
        'host_ram_gib = 512\n[[gpus]]\nname = "H100-80GB"\ncount = 4\nlink = "left"\n'
        '[[gpus]]\nname = "H100-80GB"\ncount = 4\nlink = "right"\n[[gpus]]\nname = "odd one"\nmemory_gib = 12.5\n'
        "[allowances]\nfragmentation = 0.1\n",
        "utf-8",
    )
    machine = read_machine(file)
    assert machine.name == "rack"
    assert machine.groups() == ((0, 1, 2, 3), (4, 5, 6, 7), (8,))
    assert machine.gpus[8].memory == round(12.5 * GIB)
    assert (machine.host, machine.host_assumed) == (512 * GIB, False)
    assert machine.allowances.fragmentation == 0.1
    assert read_machine(file, host_gib=8).host == 8 * GIB


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpus = [", "is not TOML"),
        ('[[gpus]]\nname = "odd"', "memory_gib"),
        ('[[gpus]]\nname = "H100-80GB"\ncount = 0', "count"),
        ("host = 3", "unknown key"),
        ("[allowances]\nfragmentation = 2", "fragmentation"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "rack.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(CascadeError, match=says) as error:
        read_machine(file)
    assert "rack.toml" in str(error.value)
    assert isinstance(error.value, PlanError | SpecError)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        read_machine(tmp_path / "none.toml")
