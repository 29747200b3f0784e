"""Both clients against a small real server on loopback."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natix_cascade.client import (
    Answer,
    AsyncClient,
    Client,
    Finished,
    LevelFinished,
    LevelStarted,
    PictureProblem,
    Received,
    RefusedPictureError,
    ServiceError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from conftest import Service

JPEG = b"\xff\xd8 a small picture \xff\xd9"


@pytest.fixture
def client(service: Service, key: str) -> Iterator[Client]:
    with Client(service.url, key=key) as client:
        yield client


def test_a_picture_may_be_bytes_a_path_or_a_file(client: Client, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "street.jpg"
    path.write_bytes(JPEG)
    with path.open("rb") as file:
        answers = [client.infer(each) for each in (JPEG, path, str(path), file, io.BytesIO(JPEG), bytearray(JPEG))]
    assert all(answers)
    assert [answer.id for answer in answers] == ["picture", *["street.jpg"] * 3, "picture", "picture"]
    assert {body for *_, body in service.asked} == {JPEG}
    with path.open() as text, pytest.raises(TypeError, match="binary mode"):
        client.infer(text)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        client.infer(tmp_path / "none.jpg")


def test_options_reach_the_service_as_it_spells_them(client: Client, service: Service) -> None:
    client.infer(
        JPEG,
        deadline_ms=3000,
        explain=True,
        max_level="lite0",
        place=(48.1, -11.6),
        label=False,
        name="a name & more",
        augment="L2",
        seed=0,
        keep=True,
    )
    query = service.asked[-1][2]
    assert 0 < float(query.pop("deadline_ms")) <= 3000
    assert query == {
        "explain": "true",
        "max_level": "lite0",
        "place": "48.1,-11.6",
        "label": "false",
        "name": "a name & more",
        "augment": "L2",
        "seed": "0",
        "keep": "true",
    }


def test_an_explanation_holds_the_pictures(client: Client) -> None:
    explanation = client.infer(JPEG, explain=True).explanation
    assert explanation is not None
    assert explanation.picture == JPEG
    assert explanation.heat_map == ((0.1, -2.0),)
    assert explanation.marked_picture is None


def test_a_stream_tells_each_step(client: Client) -> None:
    events = list(client.stream(JPEG, name="a.jpg"))
    assert [type(event) for event in events] == [Received, LevelStarted, LevelFinished, Finished]
    received, _, finished, last = events
    assert isinstance(received, Received)
    assert received.levels == {"gate": ("road-gate",)}
    assert isinstance(finished, LevelFinished)
    assert finished.exited
    assert isinstance(last, Finished)
    assert last.answer.id == "a.jpg"


def test_a_stream_may_be_left(client: Client) -> None:
    for event in client.stream(JPEG):
        assert isinstance(event, Received)
        break
    assert client.infer(JPEG)


def test_many_pictures_come_back_in_order_and_one_bad_one_spoils_nothing(
    client: Client, service: Service, tmp_path: Path
) -> None:
    taken = 0

    def pictures() -> Iterator[bytes | Path]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield b"no picture" if number == 7 else tmp_path / "gone.jpg" if number == 9 else JPEG[:-2] + bytes([
                number, 0xFF, 0xD9,
            ])  # fmt: skip

    results = []
    for result in client.infer_many(pictures(), parallel=4):
        results.append(result)
        assert taken - len(results) <= 4
    assert len(results) == 40
    problems = [result for result in results if isinstance(result, PictureProblem)]
    assert [(problem.index, type(problem.error)) for problem in problems] == [
        (7, RefusedPictureError),
        (9, FileNotFoundError),
    ]
    answers = [result for result in results if isinstance(result, Answer)]
    assert len({answer.sha256 for answer in answers}) == 38
    assert 1 <= service.most_under_way <= 4


def test_many_pictures_end_when_the_key_is_wrong(service: Service) -> None:
    with Client(service.url, key="nc-wrong") as client, pytest.raises(UnauthorizedError, match="NATIX_CASCADE_KEY"):
        list(client.infer_many([JPEG] * 3))


def test_many_pictures_may_be_left(client: Client) -> None:
    results = client.infer_many(JPEG for _ in range(1000))
    assert next(results)
    results.close()
    assert client.infer(JPEG)


def test_feedback_is_found_again(client: Client) -> None:
    verdict_id = client.infer(JPEG).verdict_id
    feedback = client.feedback(verdict_id, True, note="seen by eye", image=JPEG)
    assert feedback.label
    assert feedback.was_right
    assert feedback.picture_kept
    found = client.verdict(verdict_id)
    assert found.verdict_id == verdict_id
    assert [(each.label, each.note) for each in found.feedback] == [(True, "seen by eye")]


def test_a_verdict_that_is_not_there(client: Client) -> None:
    with pytest.raises(ServiceError) as caught:
        client.verdict("unknown")
    assert (caught.value.status, caught.value.problem) == (404, "not-found")


def test_verdicts_come_in_pages(client: Client) -> None:
    page = client.verdicts(2)
    assert [answer.verdict_id for answer in page.verdicts] == ["0", "1"]
    assert page.next == "1"
    assert client.verdicts(2, before=page.next).next is None


def test_the_state_of_the_service(client: Client) -> None:
    status = client.status()
    assert (status.workers, status.latency_ms["p50"], status.breakers[0].state) == (2, 6.1, "closed")
    assert client.health().status == "alive"
    ready = client.ready()
    assert not ready
    assert ready.reasons == ("road-lite0 has not answered yet",)
    assert client.cascade() == {"cascade": "embedded@1"}
    assert client.models() == [{"name": "road-gate"}]
    assert client.breakers()[0].model == "road-gate"


def test_admin(client: Client, service: Service) -> None:
    assert client.reload() == {"generation": 2}
    assert service.asked[-1][3] == b"{}"
    with pytest.raises(ServiceError, match="409 conflict"):
        client.reload(policy="other")
    assert client.drain() == {"draining": True}


def test_threads_may_share_a_client(client: Client) -> None:
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(client.infer(JPEG))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8


def test_a_busy_service_is_asked_again_over_a_real_connection(client: Client, service: Service) -> None:
    service.refuse_next = 2
    assert client.infer(JPEG)
    assert len(service.asked) == 3


def test_a_client_leaves_no_thread_behind(service: Service, key: str) -> None:
    before = set(threading.enumerate())
    with Client(service.url, key=key) as client:
        client.infer(JPEG)
    client.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(RuntimeError, match="closed"):
        client.infer(JPEG)
    client.close()


def test_a_forked_process_is_told_to_make_its_own_client(client: Client) -> None:
    client.health()
    client._background._process = os.getppid()  # what a fork would find
    try:
        with pytest.raises(RuntimeError, match="after the fork"):
            client.health()
    finally:
        client._background._process = os.getpid()


def test_the_asynchronous_client_does_the_same(service: Service, key: str) -> None:
    async def main() -> None:
        async with AsyncClient(service.url, key=key) as client:
            answer = await client.infer(JPEG, name="a.jpg")
            assert answer.id == "a.jpg"
            assert [type(event) async for event in client.stream(JPEG)][-1] is Finished
            results = [each async for each in client.infer_many([JPEG, b"", JPEG], parallel=2)]
            assert [isinstance(each, Answer) for each in results] == [True, False, True]
            assert (await client.feedback(answer.verdict_id, False)).was_right
            assert (await client.verdict(answer.verdict_id)).verdict_id == answer.verdict_id
            assert len((await client.verdicts(3)).verdicts) == 3
            assert (await client.status()).ready
            assert not await client.ready()
            assert (await client.health()).version == "0.1.0"
            assert await client.reload() == {"generation": 2}
            assert (await client.breakers())[0].failures == 0

    asyncio.run(main())


def test_the_client_is_light() -> None:
    code = (
        "import sys, natix_cascade.client\n"
        "heavy = {'numpy', 'pydantic', 'onnxruntime', 'PIL', 'fastapi'} & set(sys.modules)\n"
        "rooms = {n for n in sys.modules if n.startswith('natix_cascade.')}\n"
        "own = ('natix_cascade.client', 'natix_cascade.errors', 'natix_cascade.retry_after', 'natix_cascade.trace')\n"
        "other = {n for n in rooms if not n.startswith(own)}\n"
        "sys.exit(f'{heavy} {other}' if heavy or other else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
