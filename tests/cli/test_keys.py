from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from natix_cascade.cli.keys import app
from natix_cascade.serve.keys import Keys

runner = CliRunner()


def run(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "100"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_printed_once_and_opens_the_service(file: Path) -> None:
    made = run("create", "--file", file, "--scope", "infer", "--scope", "metrics", "--rate", "100/second")
    assert made.exit_code == 0, made.stderr
    text = made.stdout.strip()
    assert text not in made.stderr
    assert text not in file.read_text()
    key = Keys(file).check(text)
    assert key is not None
    assert (key.scopes, key.rate, key.expires) == (("infer", "metrics"), "100/second", None)


def test_the_list_shows_all_but_hashes(file: Path) -> None:
    first = json.loads(run("create", "-f", file, "--scope", "admin", "--note", "Ann", "--json").stdout)
    second = json.loads(
        run("create", "-f", file, "--scope", "infer", "--expires-days", "0", "--note", "Bob", "--json").stdout
    )
    shown = run("list", "-f", file)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert len(lines) == 3
    assert [word for word in (first["id"], "admin", "never", "Ann") if word not in lines[1]] == []
    assert [word for word in (second["id"], "infer", "expired", "Bob") if word not in lines[2]] == []
    listed = json.loads(run("list", "-f", file, "--json").stdout)
    assert [(item["id"], item["expired"]) for item in listed] == [(first["id"], False), (second["id"], True)]
    assert "sha256" not in shown.stdout + json.dumps(listed)


def test_a_revoked_key_is_gone(file: Path) -> None:
    made = json.loads(run("create", "-f", file, "--scope", "infer", "--json").stdout)
    assert Keys(file).check(made["key"]) is not None
    done = run("revoke", made["id"], "-f", file, "--json")
    assert json.loads(done.stdout) == {"revoked": made["id"]}
    assert Keys(file).check(made["key"]) is None
    again = run("revoke", made["id"], "-f", file)
    assert again.exit_code == 2
    assert made["id"] in again.stderr


def test_rotation_leaves_the_old_key_its_grace(file: Path) -> None:
    old = json.loads(
        run("create", "-f", file, "--scope", "infer", "--rate", "7/hour", "--note", "van", "--json").stdout
    )
    new = json.loads(run("rotate", old["id"], "-f", file, "--json").stdout)
    assert new["id"] != old["id"]
    assert [new[part] for part in ("scopes", "rate", "note", "expires")] == [["infer"], "7/hour", "van", None]
    assert new["replaces"]["expires"] is not None
    keys = Keys(file)
    assert keys.check(old["key"]) is not None
    assert keys.check(new["key"]) is not None
    last = run("rotate", new["id"], "-f", file, "--grace-hours", "0")
    assert "is good until" in last.stderr
    keys = Keys(file)
    assert keys.check(new["key"]) is None
    assert keys.check(last.stdout.strip()) is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--scope", "everything"), "everything"),
        ((), "--scope"),
        (("--scope", "infer", "--rate", "many"), "many"),
        (("--scope", "infer", "--expires-days", "-1"), "-1"),
        (("--scope", "infer", "--note", "x" * 201), "200"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_made(file: Path, arguments: tuple[str, ...], told: str) -> None:
    result = run("create", "--file", file, *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not file.exists()


def test_a_broken_file_is_left_as_it_is(file: Path) -> None:
    file.write_text('{"keys": [{"id": 1}]}')
    for arguments in (("list",), ("create", "--scope", "infer"), ("revoke", "1"), ("rotate", "1")):
        result = run(*arguments, "--file", file)
        assert result.exit_code == 2
        assert "keys.json" in result.stderr
    assert file.read_text() == '{"keys": [{"id": 1}]}'
