"""The verb `plan throughput`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from natix_cascade.cli.app import app

MODELS = ("road-gate", "road-lite0", "road-lite1", "road-lite2")


@pytest.fixture
def rates(tmp_path: Path) -> str:
    file = tmp_path / "rates.json"
    data = {name: {"ms": {"1": 1.0, "32": 3.2 * 10**place}} for place, name in enumerate(MODELS)}
    file.write_text(json.dumps({"models": data}), "utf-8")
    return str(file)


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["plan", "throughput", *arguments], env={"COLUMNS": "200"})
    return done.exit_code, done.stdout, done.stderr


def test_it_says_what_bounds_and_what_it_would_take(rates: str) -> None:
    code, out, _ = run("embedded", "--rates", rates, "--leave", "gate=0.9", "--gpus", "2", "--wanted", "30000")
    assert code == 0
    assert "pictures a second; GPU 0 is busy, most of all with" in out
    assert "for 30,000 pictures a second:" in out
    assert "of the pictures may reach it" in out


def test_json_has_the_same_and_the_simulation(rates: str) -> None:
    given = ("embedded", "--rates", rates, "--leave", "gate=1", "--wanted", "5000", "--simulate", "--json")
    code, out, _ = run(*given)
    assert code == 0
    found = json.loads(out)
    assert found["throughput"] == pytest.approx(10_000)
    assert found["wanted"]["gpus"] == 1
    assert found["wanted"]["reach"] == {"gate": 1.0}
    assert found["simulated"]["throughput"] == pytest.approx(10_000, rel=0.03)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--leave", "nowhere=0.5"), "names none of"),
        (("--leave", "0.5"), "names none of"),
        (("--leave", "gate=much"), "has no number"),
        (("--leave", "gate=1.5"), "at most 1 together"),
        (("--asked", "nobody=0.5"), "names none of"),
        (("--asked", "road-gate=2"), "must be 0 to 1"),
    ],
)
def test_what_is_wrong_is_told(options: tuple[str, str], match: str, rates: str) -> None:
    code, out, err = run("embedded", "--rates", rates, *options)
    assert (code, out) == (2, "")
    assert match in err


def test_models_without_a_rate_are_named_or_free(rates: str, tmp_path: Path) -> None:
    data = json.loads(Path(rates).read_text("utf-8"))
    del data["models"]["road-lite2"]
    (tmp_path / "fewer.json").write_text(json.dumps(data), "utf-8")
    code, _, err = run("embedded", "--rates", str(tmp_path / "fewer.json"))
    assert code == 2
    assert "no rate for road-lite2" in err
    assert run("embedded", "--rates", str(tmp_path / "fewer.json"), "--free")[0] == 0
