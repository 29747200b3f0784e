from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "observe" / "judge"))  # for judge_server.py
from judge_server import JudgeServer, observation, said, text_of, until, verdict

from natix_cascade.cli import main
from natix_cascade.image import encode_jpeg
from natix_cascade.observe.judge.observer import JudgeObserver
from natix_cascade.observe.options import JudgeOptions
from natix_cascade.spec.endpoints import Endpoint

pytest.importorskip("httpx")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["natix-cascade", "observe", "judge", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 255, (600, 1000, 3), dtype=np.uint8)
    path = tmp_path / "street.jpg"
    path.write_bytes(encode_jpeg(pixels))
    return path


def test_a_first_try(run: Run, picture: Path) -> None:
    with JudgeServer(said(0.25, "No cones.\x1b[0m")) as server:
        code, out, err = run("try", picture, "--endpoint", server.url, "--model", "judge", "--verdict", "yes")
        (request,) = server.requests
    assert (code, err) == (0, "")
    assert "verdict    there is roadwork\n" in out
    assert "score      0.25 (1: certainly right)" in out
    assert "reason     No cones. [0m (written by the model)" in out
    assert "1 request, the last as json_schema with" in out
    assert '"confidence"' not in text_of(request)


def test_what_the_embedded_cascade_says(run: Run, picture: Path) -> None:
    with JudgeServer() as server:
        code, out, _ = run("try", picture, "--endpoint", server.url, "--model", "judge", "--json")
        (request,) = server.requests
    told = json.loads(out)
    assert code == 0
    assert (told["score"], told["abstained"], told["failure"], told["rubric"]) == (0.9, False, None, "roadwork@1")
    assert told["request_bytes"] > 10_000
    assert '"models"' in text_of(request)


def test_a_verdict_from_a_file(run: Run, picture: Path, tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    file.write_text(json.dumps(verdict(yes=False, text="nothing").as_dict()))
    with JudgeServer(said(0.1, key="probability")) as server:
        arguments = ("try", picture, "--endpoint", server.url, "--model", "judge", "--verdict", file)
        code, out, _ = run(*arguments, "--rubric", "roadwork-blind")
        assert code == 0
        assert "0.90" in out
        file.write_text(json.dumps(verdict(question="potholes").as_dict()))
        code, _, err = run(*arguments)
        assert code == 2
        assert "the verdict is about 'potholes'" in err
        for content in ("[]", "{}", "nothing"):
            file.write_text(content)
            code, _, err = run(*arguments)
            assert code == 2
            assert "is no verdict" in err
        assert run(*arguments[:-1], tmp_path / "none")[0] == 2
        assert len(server.requests) == 1


@pytest.mark.parametrize("as_json", [True, False])
def test_no_answer(run: Run, picture: Path, *, as_json: bool) -> None:
    with JudgeServer("I like it.") as server:
        arguments = ("try", picture, "--endpoint", server.url, "--model", "judge", "--verdict", "no")
        code, out, err = run(*arguments, *(["--json"] if as_json else []))
    assert code == 1
    assert "error: the judge's answer cannot be used" in err
    if as_json:
        assert json.loads(out)["score"] is None


def test_what_cannot_be(run: Run, picture: Path, tmp_path: Path) -> None:
    given = ("--endpoint", "http://127.0.0.1:9/v1", "--model", "judge", "--verdict", "no")
    assert run("try", tmp_path / "none.jpg", *given)[0] == 2
    code, _, err = run("try", picture, *given, "--rubric", "nothing")
    assert (code, "no rubric 'nothing'" in err) == (2, True)
    code, _, err = run("try", picture, *given, "--key", "env:NATIX_NO_SUCH_KEY")
    assert (code, "NATIX_NO_SUCH_KEY" in err) == (2, True)
    code, _, err = run("try", picture, *given, "--key", "sk-verysecret-42")
    assert (code, "sk-verysecret" in err) == (2, False)
    code, _, err = run("report", "--state", tmp_path)
    assert (code, "no judge's journal" in err) == (2, True)


def test_the_report(run: Run, tmp_path: Path) -> None:
    with JudgeServer(said(0.8)) as server:
        options = JudgeOptions(endpoint=Endpoint(url=server.url, model="judge"))
        judge = JudgeObserver(options, tmp_path, lambda _: None)
        judge(observation())
        until(lambda: not judge._waiting)
        code, out, err = run("report", "--state", tmp_path, "--json")  # while it runs
        judge.close()
    assert (code, err) == (0, "")
    assert json.loads(out)["judges"][0]["rolling"]["mean"] == 0.8
    code, out, _ = run("report", "--state", tmp_path)
    assert code == 0
    assert "judge by roadwork@1" in out
    assert json.loads(run("report", "--state", tmp_path, "--json", "--days", "0")[1])["asked"] == 0
