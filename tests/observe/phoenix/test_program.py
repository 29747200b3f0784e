from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from natix_cascade.errors import MissingExtraError
from natix_cascade.observe.phoenix.program import command, config_lines, environment, find_python
from natix_cascade.serve.settings import read_options


def a_program(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder / names[0]


def test_the_python_beside_the_program_is_found(tmp_path: Path) -> None:
    program = a_program(tmp_path / "env" / "bin", "phoenix", "python")

    assert find_python(str(program)) == program.with_name("python")


def test_a_link_on_the_path_leads_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = a_program(tmp_path / "env" / "bin", "phoenix", "python3")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "phoenix").symlink_to(program)
    monkeypatch.delenv("NATIX_CASCADE_PHOENIX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert find_python() == program.with_name("python3")


def test_the_variable_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = a_program(tmp_path / "env" / "bin", "phoenix", "python")
    monkeypatch.setenv("NATIX_CASCADE_PHOENIX", str(program))

    assert find_python() == program.with_name("python")


def test_an_absent_program_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATIX_CASCADE_PHOENIX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingExtraError, match="pip install arize-phoenix"):
        find_python()
    with pytest.raises(MissingExtraError, match="no program '/nowhere/phoenix'"):
        find_python("/nowhere/phoenix")
    with pytest.raises(MissingExtraError, match="no python"):
        find_python(str(a_program(tmp_path / "bare", "phoenix")))


def test_nothing_is_bound_or_called_elsewhere(tmp_path: Path) -> None:
    found = environment(tmp_path, port=1, grpc_port=2)

    assert found["PHOENIX_HOST"] == "127.0.0.1"
    assert found["PHOENIX_TELEMETRY_ENABLED"] == found["PHOENIX_ALLOW_EXTERNAL_RESOURCES"] == "false"
    assert found["PHOENIX_DISABLE_AGENT_ASSISTANT"] == "true"


def test_the_launcher_is_a_script_that_is_there() -> None:
    assert Path(command(Path("python"), ends_with_us=False)[1]).is_file()


def test_a_python_without_phoenix_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules.update({'grpc': None, 'phoenix': None})")
    words = command(Path(sys.executable), ends_with_us=False)
    done = subprocess.run(words, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{sys.executable} has no Phoenix (grpc")
    assert done.stderr.count("\n") == 1


def test_the_lines_are_options_of_a_service(tmp_path: Path) -> None:
    lines = config_lines("http://127.0.0.1:6006", "streets")
    (tmp_path / "serve.toml").write_text(lines)

    options = read_options(tmp_path / "serve.toml").observe.phoenix

    assert len(lines.splitlines()) == 3
    assert tomllib.loads(lines)
    assert options is not None
    assert (options.url, options.project) == ("http://127.0.0.1:6006", "streets")
