from __future__ import annotations

import asyncio
import gc
import io
import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import (
    CascadeError,
    CorruptPictureError,
    PictureError,
    PictureShapeError,
    PictureTooLargeError,
    SpecError,
    UnsupportedFormatError,
)
from natix_cascade.image import Limits, Picture, decode, encode_jpeg
from natix_cascade.run.cascade import Cascade
from natix_cascade.spec.rules import Threshold
from natix_cascade.testing import ScriptedLevel, ScriptedModel

LONG = 20.0  # seconds that only catch a hang

CascadeOf = Callable[..., Cascade]
Grey = Callable[[int], Picture]

KEYS = {
    "id",
    "sha256",
    "roadwork_detected",
    "probability",
    "confidence",
    "consensus_ratio",
    "exit_level",
    "exit_reason",
    "levels_executed",
    "model_predictions",
    "latency_ms",
    "cost_usd",
    "gmacs",
    "degraded",
    "reasons",
    "cascade",
    "policy",
}


def essence(verdict: Verdict) -> tuple[Any, ...]:
    """What must not depend on how a picture was asked about."""
    return (
        verdict.sha256,
        verdict.detected,
        verdict.probability,
        verdict.confidence,
        verdict.consensus_ratio,
        verdict.exit_level,
        verdict.levels_executed,
        verdict.reasons,
        verdict.degraded,
        tuple((o.model, o.level, o.score, o.probability, o.failure) for o in verdict.opinions),
    )


def spread(name: str, shift: int) -> ScriptedModel:
    """Sees something else than the others in every grey, and fails at some."""

    def script(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
        value = int(pixels[0, 0, 0])
        if (value + shift) % 11 == 0:
            raise ValueError(f"{name} cannot see {value}")
        return (value * 37 + shift * 53) % 101 / 100

    return ScriptedModel(name, script, delay_s=0.001)


def wide_cascade() -> list[Any]:
    return [
        spread("gate", 1),
        ScriptedLevel(models=(spread("a", 2), spread("b", 3)), exit=Threshold(yes=0.8, no=0.2), on_failure="escalate"),
        spread("last", 4),
    ]


def test_all_kinds_of_sources_give_the_same_verdict(cascade_of: CascadeOf, scenes: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "scene.jpg"
    path.write_bytes(scenes[0])
    cascade = cascade_of([ScriptedModel("m", lambda pixels: float(pixels.mean()) / 255)])
    picture = decode(scenes[0], short_side=32)
    with path.open("rb") as file:
        sources: list[Any] = [scenes[0], bytearray(scenes[0]), path, str(path), file, io.BytesIO(scenes[0]), picture]
        verdicts = [cascade.detect(source, name="x") for source in sources]
    assert len({essence(v) for v in verdicts}) == 1
    assert {v.id for v in verdicts} == {"x"}


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"", CorruptPictureError, 422),
        (b"GIF89a and so on", UnsupportedFormatError, 415),
        (b"hello", UnsupportedFormatError, 415),
        (b"\xff\xd8\xff\xe0", CorruptPictureError, 422),
        (encode_jpeg(np.zeros((4, 40, 3), np.uint8)), PictureShapeError, 422),
        (encode_jpeg(np.zeros((300, 300, 3), np.uint8)), PictureTooLargeError, 413),
    ],
)
def test_bad_pictures_raise_their_error_and_nobody_is_asked(
    embedded: Cascade, data: bytes, kind: type[PictureError], status: int
) -> None:
    with Cascade(embedded._loaded.__class__(embedded.spec, {}), limits=Limits(max_pixels=50_000)) as cascade:
        with pytest.raises(kind) as caught:
            cascade.detect(data)
        assert caught.value.status == status
        with pytest.raises(kind):
            asyncio.run(cascade.detect_async(data))


def test_a_truncated_picture_is_refused(embedded: Cascade, scenes: list[bytes]) -> None:
    with pytest.raises(CorruptPictureError):
        embedded.detect(scenes[0][: len(scenes[0]) // 2])


def test_a_missing_file_is_a_picture_error(embedded: Cascade, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="No such file"):
        embedded.detect(tmp_path / "none.jpg")


def test_another_type_of_source_is_a_type_error(embedded: Cascade) -> None:
    with pytest.raises(TypeError, match="int"):
        embedded.detect(5)  # type: ignore[arg-type]


def test_an_unknown_cascade_names_those_there_are() -> None:
    with pytest.raises(SpecError, match="embedded"):
        Cascade.load("no-such-cascade")


def test_fifty_at_once_have_the_verdicts_they_have_alone(cascade_of: CascadeOf, grey: Grey) -> None:
    pictures = [grey(value) for value in range(50)]
    alone = cascade_of(wide_cascade())
    expected = [essence(alone.detect(picture)) for picture in pictures]
    crowd = cascade_of(wide_cascade(), max_batch=7)

    async def all_at_once() -> list[Verdict]:
        return list(await asyncio.gather(*(crowd.detect_async(picture) for picture in pictures)))

    assert [essence(v) for v in asyncio.run(all_at_once())] == expected
    assert [essence(v) for v in asyncio.run(all_at_once())] == expected  # another event loop, the same cascade
    assert {item[5] for item in expected} == {"level-1", "level-2", "level-3"}


def test_many_threads_may_ask_at_once(cascade_of: CascadeOf, grey: Grey) -> None:
    cascade = cascade_of(wide_cascade(), max_batch=5)
    pictures = [grey(value % 40) for value in range(120)]
    expected = [essence(cascade.detect(grey(value))) for value in range(40)]
    with ThreadPoolExecutor(12) as pool:
        verdicts = list(pool.map(cascade.detect, pictures))
    assert [essence(v) for v in verdicts] == [expected[value % 40] for value in range(120)]


def test_detect_works_beside_a_running_event_loop_and_inside_its_thread(cascade_of: CascadeOf, grey: Grey) -> None:
    cascade = cascade_of([ScriptedModel("m", 0.8)])

    async def scene() -> list[Verdict]:
        inside = cascade.detect(grey(1))  # blocks this loop, but does not need it
        beside = await asyncio.to_thread(cascade.detect, grey(1))
        return [inside, beside, await cascade.detect_async(grey(1))]

    assert len({essence(v) for v in asyncio.run(scene())}) == 1


def test_close_may_come_twice_and_ends_all_use(cascade_of: CascadeOf, grey: Grey, scenes: list[bytes]) -> None:
    model = ScriptedModel("m", 0.8)
    cascade = cascade_of([model])
    cascade.detect(grey(1))
    cascade.close()
    cascade.close()
    assert model.closed >= 1
    for ask in (lambda: cascade.detect(grey(1)), lambda: cascade.detect(scenes[0]), cascade.warm_up):
        with pytest.raises(CascadeError, match="closed"):
            ask()
    for source in (grey(1), scenes[0]):
        with pytest.raises(CascadeError, match="closed"):
            asyncio.run(cascade.detect_async(source))
    gc.collect()  # a coroutine that was never awaited would warn here


def test_a_cascade_that_was_never_asked_can_be_closed(cascade_of: CascadeOf) -> None:
    cascade_of([ScriptedModel("m", 0.8)]).close()


def test_the_context_manager_closes_also_after_an_error(cascade_of: CascadeOf, grey: Grey) -> None:
    model = ScriptedModel("m", 0.8)
    cascade = cascade_of([model])

    def fail() -> None:
        with cascade as entered:
            assert entered.detect(grey(1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert model.closed >= 1
    with pytest.raises(CascadeError):
        cascade.detect(grey(1))


def test_no_threads_are_left_after_close(cascade_of: CascadeOf, grey: Grey, scenes: list[bytes]) -> None:
    before = set(threading.enumerate())
    cascade = cascade_of([ScriptedModel("m", 0.5), ScriptedModel("n", 0.8)])
    cascade.detect(grey(1))
    cascade.detect(scenes[0])
    cascade.close()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("natix")]


def test_close_lets_pictures_under_way_in_other_threads_come_to_their_end(cascade_of: CascadeOf, grey: Grey) -> None:
    first, second = ScriptedModel("first", 0.5, fault="hang"), ScriptedModel("second", 0.95, delay_s=0.02)
    cascade = cascade_of([first, second])
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(cascade.detect, grey(value)) for value in range(4)]
        limit = time.monotonic() + LONG
        while cascade._asking < 4:
            assert time.monotonic() < limit
            time.sleep(0.005)
        closing = pool.submit(cascade.close)
        while not cascade._closed:
            time.sleep(0.001)
        first.release.set()
        verdicts = [answer.result(LONG) for answer in answers]
        closing.result(LONG)
    assert {v.levels_executed for v in verdicts} == {("level-1", "level-2")}


def test_warm_up_loads_the_shipped_models(scenes: list[bytes]) -> None:
    with Cascade.load("embedded", threads=1) as cascade:
        cascade.warm_up()
        assert set(cascade._loaded._models) == set(cascade.spec.models)
        assert cascade.detect(scenes[0]).latency_ms < LONG * 1000


def test_the_shipped_cascade_loads_only_what_it_asks(scenes: list[bytes]) -> None:
    with Cascade.load("embedded") as cascade:
        asked: set[str] = set()
        assert not cascade._loaded._models
        for scene in scenes:
            asked |= {o.model for o in cascade.detect(scene).opinions}
            assert set(cascade._loaded._models) == asked


def test_the_shipped_cascade_answers_alike_alone_and_in_a_crowd(embedded: Cascade, scenes: list[bytes]) -> None:
    alone = [essence(embedded.detect(scene)) for scene in scenes]

    async def crowd() -> list[Verdict]:
        return list(await asyncio.gather(*(embedded.detect_async(scene) for scene in scenes)))

    assert [essence(v) for v in asyncio.run(crowd())] == alone


def test_the_shipped_cascade_explains_itself(embedded: Cascade, scenes: list[bytes]) -> None:
    verdict = embedded.detect(scenes[0], explain=True)
    assert verdict.heat_map is not None
    assert verdict.heat_map.ndim == 2
    assert np.isfinite(verdict.heat_map).all()
    assert essence(verdict) == essence(embedded.detect(scenes[0]))


def test_the_shipped_cascade_has_the_levels_it_promises(embedded: Cascade) -> None:
    assert [level.name for level in embedded.spec.levels] == ["gate", "lite0", "lite1", "lite2", "consensus"]
    assert embedded.spec.policy.startswith("embedded@")


def no_nan(data: Any) -> bool:
    if isinstance(data, dict):
        return all(no_nan(value) for value in data.values())
    if isinstance(data, list):
        return all(no_nan(value) for value in data)
    return not isinstance(data, float) or math.isfinite(data)


def check_json(verdict: Verdict) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    assert data == verdict.as_dict()  # plain types only
    assert no_nan(data)
    assert 0.5 <= data["confidence"] <= 1
    assert data["confidence"] == max(data["probability"], 1 - data["probability"])
    assert (data["probability"] > 0.5) == bool(verdict)
    assert 0 <= data["consensus_ratio"] <= 1
    assert data["exit_level"] in data["levels_executed"]
    assert list(data["model_predictions"]) == [o.model for o in verdict.opinions]
    return data


def test_a_verdict_as_json(embedded: Cascade, scenes: list[bytes]) -> None:
    for scene in scenes:
        data = check_json(embedded.detect(scene, name="scene.jpg"))
        assert set(data) == KEYS
        assert (data["id"], len(data["sha256"]), data["cascade"]) == ("scene.jpg", 64, "embedded@1")
        assert isinstance(data["roadwork_detected"], bool)
        assert data["latency_ms"] > 0
        for said in data["model_predictions"].values():
            assert set(said) == {"level", "score", "probability", "latency_ms", "cost_usd", "failure"}


@pytest.mark.parametrize("fault", ["nan", "error", "short"])
def test_failures_are_null_in_json_not_nan(cascade_of: CascadeOf, grey: Grey, fault: Any) -> None:
    cascade = cascade_of([(ScriptedModel("good", 0.8), ScriptedModel("bad", 0.8, fault=fault))])
    said = check_json(cascade.detect(grey(1)))["model_predictions"]["bad"]
    assert (said["score"], said["probability"]) == (None, None)
    assert said["failure"]


def test_another_question_works_the_same(cascade_of: CascadeOf, grey: Grey) -> None:
    cascade = cascade_of([ScriptedModel("owl", 0.9, positive="night", negative="day")])
    verdict = cascade.detect(grey(1))
    data = check_json(verdict)
    assert data["night_detected"] is True
    assert "roadwork_detected" not in data
    assert "P(night) = 0.900" in verdict.reasons[0]
    assert "'night'" in verdict.reasons[0]


def test_reasons_name_the_exit_and_what_was_skipped(cascade_of: CascadeOf, grey: Grey) -> None:
    def reasons(first: float, second: float) -> tuple[str, ...]:
        return cascade_of([ScriptedModel("a", first), ScriptedModel("b", second)]).detect(grey(1)).reasons

    rule = "yes from 0.900, no up to 0.100"
    assert reasons(0.95, 0.5) == (
        f"level-1: the vote is P(roadwork) = 0.950, which its exit rule ({rule}) takes as 'roadwork'",
        "not needed: level-2",
    )
    assert reasons(0.05, 0.5)[0].endswith("takes as 'none'")
    last = reasons(0.6, 0.3)
    assert last[0].startswith("level-2: ") or last[0].startswith("level-2 is the last level: ")
    assert last[-1] == "the models do not agree: a 0.60, b 0.30"


def test_every_shipped_verdict_has_reasons_that_name_its_exit(embedded: Cascade, scenes: list[bytes]) -> None:
    for scene in scenes:
        verdict = embedded.detect(scene)
        assert verdict.exit_level in verdict.reasons[0]
        assert all(len(reason.split()) >= 3 for reason in verdict.reasons)
        skipped = [level.name for level in embedded.spec.levels][len(verdict.levels_executed) :]
        assert ("not needed: " + ", ".join(skipped) in verdict.reasons) == bool(skipped)
