"""The client against the real service, started as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from natix_cascade import Cascade
from natix_cascade.client import (
    Answer,
    Client,
    Finished,
    LateError,
    LevelFinished,
    OverloadedError,
    PictureProblem,
    Received,
    RefusedPictureError,
    ServiceError,
)
from natix_cascade.testing import render_scene


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [render_scene(seed, roadwork=seed % 2 == 0, size=(320, 240)).jpeg() for seed in range(6)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    command = [
        sys.executable,
        "-m",
        "natix_cascade",
        "serve",
        "--port",
        "0",
        "--workers",
        "1",
        "--threads",
        "1",
        "--json",
    ]
    folder = tmp_path_factory.mktemp("service")
    environment = {**os.environ, "NATIX_CASCADE_KEY": ""}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--state", str(folder / "state")], stdout=subprocess.PIPE, stderr=log, env=environment
        )
        try:
            assert process.stdout is not None
            url = _event(process.stdout.readline(), "starting")["url"]
            _event(process.stdout.readline(), "ready")
            with Client(str(url), timeout_s=30) as client:
                yield client
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _event(line: bytes, wanted: str) -> dict[str, object]:
    import json

    event: dict[str, object] = json.loads(line)
    assert event["event"] == wanted
    return event


def test_answers_are_those_of_the_cascade_itself(client: Client, pictures: list[bytes]) -> None:
    with Cascade.load() as cascade:
        for number, picture in enumerate(pictures):
            right = cascade.detect(picture, name=f"{number}.jpg")
            answer = client.infer(picture, name=f"{number}.jpg", place=(48.1, 11.6))
            assert answer.stored
            assert not answer.degraded
            assert answer.place == (48.1, 11.6)
            for name in ("id", "sha256", "question", "detected", "probability", "exit_level", "levels_executed"):
                assert getattr(answer, name) == getattr(right, name)
            assert answer.reasons
            assert [opinion.model for opinion in answer.opinions] == [opinion.model for opinion in right.opinions]


def test_an_explanation(client: Client, pictures: list[bytes]) -> None:
    explanation = client.infer(pictures[0], explain=True).explanation
    assert explanation is not None
    assert explanation.heat_map
    assert explanation.picture is not None
    assert explanation.marked_picture is not None
    assert explanation.picture[:2] == explanation.marked_picture[:2] == b"\xff\xd8"


def test_a_stream(client: Client, pictures: list[bytes]) -> None:
    first, *steps, last = list(client.stream(pictures[0]))
    assert isinstance(first, Received)
    assert isinstance(last, Finished)
    assert first.verdict_id == last.answer.verdict_id
    levels = [step.level for step in steps if isinstance(step, LevelFinished)]
    assert tuple(levels) == last.answer.levels_executed
    with pytest.raises(RefusedPictureError):
        list(client.stream(b"no picture"))


def test_bad_pictures_are_refused_in_the_contract_s_words(client: Client, pictures: list[bytes]) -> None:
    bad = {"unsupported-format": b"%PDF-1.7", "corrupt-picture": pictures[0][:500]}
    for problem, picture in bad.items():
        with pytest.raises(RefusedPictureError) as caught:
            client.infer(picture)
        assert caught.value.problem == problem


def test_a_wrong_option_is_not_the_picture_s_fault(client: Client, pictures: list[bytes]) -> None:
    with pytest.raises(ServiceError, match="none-such") as caught:
        client.infer(pictures[0], max_level="none-such")
    assert not isinstance(caught.value, RefusedPictureError)


def test_a_deadline_that_cannot_be_kept_ends_in_an_answer_or_in_its_error(
    client: Client, pictures: list[bytes]
) -> None:
    problem: str | None = "none: it was answered"
    try:
        client.infer(pictures[0], deadline_ms=1)
    except (LateError, OverloadedError) as error:
        problem = error.problem
    assert problem in {"none: it was answered", "deadline", "no-answer", None}


def test_many_pictures(client: Client, pictures: list[bytes]) -> None:
    results = list(client.infer_many([*pictures, b"no picture", *pictures], parallel=4))
    answers = [result for result in results if isinstance(result, Answer)]
    problems = [result for result in results if isinstance(result, PictureProblem)]
    assert [problem.index for problem in problems] == [len(pictures)]
    assert [answer.sha256 for answer in answers[: len(pictures)]] == [
        answer.sha256 for answer in answers[len(pictures) :]
    ]


def test_feedback_and_records(client: Client, pictures: list[bytes]) -> None:
    answer = client.infer(pictures[1], label=False)
    assert answer.label is False
    feedback = client.feedback(answer.verdict_id, not answer.detected, note="by eye", image=pictures[1])
    assert feedback.was_right is False
    assert feedback.picture_kept
    found = client.verdict(answer.verdict_id)
    assert found.detected == answer.detected
    assert [(each.label, each.note) for each in found.feedback] == [(False, None), (not answer.detected, "by eye")]
    page = client.verdicts(1)
    assert page.verdicts[0].verdict_id == answer.verdict_id
    assert page.next == answer.verdict_id
    assert client.verdicts(1, before=page.next).verdicts[0].verdict_id < answer.verdict_id
    with pytest.raises(ServiceError) as caught:
        client.verdict("0" * 32)
    assert caught.value.status == 404


def test_state_and_reload(client: Client, tmp_path: Path) -> None:
    assert client.ready()
    assert client.health().status == "alive"
    status = client.status()
    assert status.ready
    assert status.workers == 1
    assert {breaker.state for breaker in status.breakers} == {"closed"}
    assert client.breakers() == status.breakers
    assert client.cascade()["levels"][0]["name"] == "gate"
    assert {model["name"] for model in client.models()} >= {"road-gate"}
    before = status.generation
    assert client.reload()["generation"] == before + 1
    with pytest.raises(ServiceError) as caught:
        client.reload(policy=str(tmp_path / "none.yaml"))
    assert (caught.value.status, caught.value.problem) == (409, "conflict")
    assert client.status().generation == before + 1
