from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest

from natix_cascade.cli import main

HEAVY = ("numpy", "onnxruntime", "pydantic", "pyarrow", "PIL", "asyncio", "simplejpeg", "yaml")

VERBS = [
    (),
    ("demo",),
    ("detect",),
    ("scan",),
    ("evaluate",),
    ("serve",),
    ("feedback",),
    ("feedback", "export"),
    ("miner",),
    ("miner", "run"),
    ("miner", "card"),
    ("miner", "simulate"),
    ("models",),
    ("models", "list"),
    ("models", "show"),
    ("models", "verify"),
    ("engines",),
    ("engines", "plan"),
    ("engines", "render"),
    ("engines", "check"),
    ("observe",),
    ("observe", "judge"),
    ("observe", "judge", "report"),
    ("observe", "judge", "try"),
    ("observe", "fiftyone"),
    ("observe", "phoenix"),
    ("observe", "phoenix", "start"),
    ("observe", "phoenix", "dataset"),
    ("observe", "phoenix", "experiment"),
    ("record",),
    ("records",),
    ("records", "import"),
    ("records", "split"),
    ("records", "show"),
    ("rehearse",),
    ("place",),
    ("plan",),
    ("plan", "make"),
    ("plan", "check"),
    ("plan", "throughput"),
    ("spec",),
    ("keys",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("keys", "rotate"),
    ("secrets",),
    ("secrets", "check"),
    ("secrets", "whoami"),
    ("doctor",),
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["natix-cascade", *map(str, arguments)])
        monkeypatch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_verb_explains_itself(run: Run, verb: tuple[str, ...], flag: str) -> None:
    code, out, err = run(*verb, flag)
    assert (code, err) == (0, "")
    assert "Usage: natix-cascade " + " ".join(verb) in out
    groups = ("miner", "models", "engines", "observe", "records", "plan", "spec", "keys", "secrets")
    if not verb or verb in {(group,) for group in groups}:
        assert "Commands" in out


def test_all_verbs_are_tested_here(run: Run) -> None:
    _, out, _ = run("--help")
    listed = out.split("Commands")[1]
    names = {line.split()[1] for line in listed.splitlines() if line.startswith("│ ") and line[2] != " "}
    assert names == {verb[0] for verb in VERBS if verb}


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from natix_cascade.cli import main\n"
        "sys.argv = ['natix-cascade', *sys.argv[1:]]\n"
        "try:\n    main()\n"
        "except SystemExit as left:\n"
        f"    print([m for m in {HEAVY} if m in sys.modules], left.code, file=sys.stderr)\n"
    )
    for arguments in (["--help"], ["detect", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == "[] 0\n", arguments


def test_version(run: Run) -> None:
    assert run("--version") == (0, version("natix-cascade") + "\n", "")


def test_without_a_verb_it_shows_help(run: Run) -> None:
    code, out, err = run()
    assert code in {0, 2}
    assert "Usage: natix-cascade" in out + err


@pytest.mark.parametrize("arguments", [("nonsense",), ("detect", "x.jpg", "--nonsense"), ("models", "nonsense")])
def test_wrong_words_are_wrong_commands(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "nonsense" in err
    assert "Traceback" not in err
