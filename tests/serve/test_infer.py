"""One picture over HTTP: every form, every option, and the same verdict as in the library."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import picture_files as files
import pytest
from service_process import ServiceProcess, kind, lines

from natix_cascade.image import challenge_jpeg, decode
from natix_cascade.run.cascade import Cascade

JPEG = {"content-type": "image/jpeg"}


def ask(client: httpx.Client, picture: bytes, **options: Any) -> httpx.Response:
    return client.post("/v1/infer", content=picture, headers=JPEG, params=options)


def judged(client: httpx.Client, picture: bytes, **options: Any) -> dict[str, Any]:
    response = ask(client, picture, **options)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


FORMS: dict[str, Callable[[httpx.Client, bytes], httpx.Response]] = {
    "raw": lambda client, picture: client.post("/v1/infer", content=picture, headers=JPEG),
    "untyped": lambda client, picture: client.post("/v1/infer", content=picture),
    "wrongly typed": lambda client, picture: client.post(
        "/v1/infer", content=picture, headers={"content-type": "text/html"}
    ),
    "form": lambda client, picture: client.post("/v1/infer", files={"file": ("a.jpg", picture)}),
    "json": lambda client, picture: client.post("/v1/infer", json={"image": base64.b64encode(picture).decode()}),
    "data URL": lambda client, picture: client.post(
        "/v1/infer", json={"image": "data:image/jpeg;base64," + base64.b64encode(picture).decode()}
    ),
    "in pieces": lambda client, picture: client.post(
        "/v1/infer", content=iter([picture[:7], picture[7:100], picture[100:]])
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_librarys_verdict(
    client: httpx.Client, cascade: Cascade, scenes: list[bytes], form: str
) -> None:
    for picture in scenes[:3]:
        response = FORMS[form](client, picture)
        assert response.status_code == 200, response.text
        want = cascade.detect(picture)
        found = response.json()
        assert found["probability"] == pytest.approx(want.probability, abs=1e-6)
        assert found["roadwork_detected"] == want.detected
        assert found["exit_level"] == want.exit_level
        assert found["levels_executed"] == list(want.levels_executed)
        assert found["reasons"] == list(want.reasons)
        assert found["model_predictions"].keys() == {opinion.model for opinion in want.opinions}
        assert found["sha256"] == want.sha256
        assert found["policy"] == want.policy
        assert found["stored"]
        assert not found["degraded"]


def test_options_come_by_query_form_or_json(client: httpx.Client, photo: bytes) -> None:
    options = {"name": "Straße 🚧 №1", "place": "48.137,-11.5", "label": "none", "max_level": "gate", "seed": "7"}
    encoded = base64.b64encode(photo).decode()
    answers = [
        client.post("/v1/infer", content=photo, params=options),
        client.post("/v1/infer", files={"file": ("x.jpg", photo)}, data=options),
        client.post("/v1/infer", json={**options, "seed": 7, "image": encoded}),
        client.post("/v1/infer", json={"image": encoded, "place": {"lat": 48.137, "lon": -11.5}}, params=options),
    ]
    for response in answers:
        assert response.status_code == 200, response.text
        found = response.json()
        assert found["id"] == options["name"]
        assert found["place"] == {"lat": 48.137, "lon": -11.5}
        assert found["label"] is False
        assert found["levels_executed"] == ["gate"]


def test_the_name_of_a_file_is_the_pictures_name_unless_one_is_given(client: httpx.Client, photo: bytes) -> None:
    file = {"file": ("übersicht 2.jpg", photo)}
    assert client.post("/v1/infer", files=file).json()["id"] == "übersicht 2.jpg"
    assert client.post("/v1/infer", files=file, data={"name": "mine"}).json()["id"] == "mine"
    assert client.post("/v1/infer", files=file, params={"name": "mine"}).json()["id"] == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"deadline_ms": "0"}, "deadline_ms"),
        ({"deadline_ms": "nan"}, "deadline_ms"),
        ({"deadline_ms": "60001"}, "deadline_ms"),
        ({"place": "91,0"}, "place.lat"),
        ({"place": "1,nan"}, "place.lon"),
        ({"place": "here"}, "48.137,11.575"),
        ({"label": "perhaps"}, "'roadwork'"),
        ({"augment": "L4"}, "augment"),
        ({"seed": "-1"}, "seed"),
        ({"name": "n" * 201}, "name"),
        ({"max_level": "cellar"}, "gate, lite0"),
        ({"explian": "true"}, "explain"),
        ({"explain": "perhaps"}, "explain"),
    ],
)
def test_a_wrong_option_is_named(client: httpx.Client, photo: bytes, options: dict[str, str], words: str) -> None:
    response = ask(client, photo, **options)
    assert response.status_code == 422
    assert kind(response) == "invalid"
    assert words in response.json()["detail"]
    assert response.json()["instance"] == "/v1/infer"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[1]", 400),
        (b'"text"', 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"{}", 422),
        (b'{"image": 5}', 422),
        (b'{"image": null}', 422),
        (b'{"image": "", "url": "https://a.example/a.jpg"}', 422),
        (b'{"url": "https://a.example/a.jpg"}', 422),
        (b'{"image": "%%%%"}', 422),
        (b'{"image": "data:image/jpeg,abcd"}', 422),
        (b'{"image": "AAAA", "name": 5}', 422),
        (b'{"image": "AAAA"}', 415),
    ],
)
def test_json_that_does_not_fit_is_a_problem(client: httpx.Client, body: bytes, status: int) -> None:
    response = client.post("/v1/infer", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text


def test_a_form_that_does_not_fit_is_a_problem(client: httpx.Client, photo: bytes) -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}
    bodies = [
        (b"", form),
        (b"--x\r\n", form),
        (b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc', form),
        (b"what is this", form),
        (photo, {"content-type": "multipart/form-data"}),
    ]
    for body, headers in bodies:
        assert client.post("/v1/infer", content=body, headers=headers).status_code == 400
    assert client.post("/v1/infer", files={"picture": photo}).status_code == 400
    assert client.post("/v1/infer", files=[("file", photo), ("file", photo)]).status_code == 400
    many = {f"field{number}": "1" for number in range(100)}
    assert client.post("/v1/infer", files={"file": photo}, data=many).status_code == 400
    assert client.post("/v1/infer", files={"file": photo}, data={"name": "n" * 5000}).status_code == 413


def test_explain_adds_the_evidence(client: httpx.Client, scenes: list[bytes]) -> None:
    found = judged(client, scenes[0], explain="true")["explanation"]
    heat = np.array(found["heat_map"], np.float64)
    assert heat.ndim == 2
    assert np.isfinite(heat).all()
    pictures = [found["picture"], found["marked_picture"]]
    pixels = [decode(base64.b64decode(each.removeprefix("data:image/jpeg;base64,"))).pixels for each in pictures]
    assert pixels[0].shape == pixels[1].shape == (180, 320, 3)
    assert not np.array_equal(pixels[0], pixels[1])
    assert "explanation" not in judged(client, scenes[0])


@pytest.mark.parametrize("level", ["L0", "L1", "L2", "L3"])
def test_augment_judges_what_subnet_72_would_send(
    client: httpx.Client, cascade: Cascade, scenes: list[bytes], level: str
) -> None:
    found = judged(client, scenes[2], augment=level, seed=5)
    sent = challenge_jpeg(decode(scenes[2]).pixels, level, seed=5)
    want = cascade.detect(sent)
    assert found["sha256"] == want.sha256
    assert found["probability"] == pytest.approx(want.probability, abs=1e-6)
    assert found["exit_level"] == want.exit_level


def test_stream_tells_what_happens_in_order(client: httpx.Client, cascade: Cascade, scenes: list[bytes]) -> None:
    picture = next(each for each in scenes if len(cascade.detect(each).levels_executed) > 1)
    with client.stream("POST", "/v1/infer", content=picture, params={"stream": "true"}) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        events = list(lines(response))
    received, *between, last = events
    assert received["event"] == "received"
    assert [level["name"] for level in received["levels"]] == ["gate", "lite0", "lite1", "lite2", "consensus"]
    verdict = last["verdict"]
    assert verdict["verdict_id"] == received["verdict_id"]
    assert [each["event"] for each in between] == ["level_started", "level_finished"] * (len(between) // 2)
    finished = between[1::2]
    assert [each["level"] for each in finished] == verdict["levels_executed"]
    assert [each["exited"] for each in finished] == [False] * (len(finished) - 1) + [True]
    assert {name: each for level in finished for name, each in level["opinions"].items()}.keys() == verdict[
        "model_predictions"
    ].keys()
    assert client.get(f"/v1/verdicts/{verdict['verdict_id']}").json()["probability"] == verdict["probability"]


def test_a_stream_ends_with_the_problem(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/infer", content=b"GIF89a....", params={"stream": "true"}) as response:
        events = list(lines(response))
    assert [each["event"] for each in events] == ["received", "problem"]
    assert events[-1]["problem"]["status"] == 415


def stored_picture(service: ServiceProcess, sha256: str) -> bytes:
    return (service.state / "pictures" / sha256[:2] / f"{sha256}.jpg").read_bytes()


def test_what_is_kept_is_nothing_but_pixels(service: ServiceProcess, client: httpx.Client) -> None:
    archive = io.BytesIO(files.save(files.noisy(), "JPEG", exif=files.exif_block(6), comment=b"Unter den Linden 1"))
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a") as writer:
        writer.writestr("evil.txt", "evil")
    picture = archive.getvalue()
    found = judged(client, picture, keep="true")
    kept = stored_picture(service, found["sha256"])
    assert not zipfile.is_zipfile(io.BytesIO(kept))
    assert b"Exif" not in kept
    assert b"Linden" not in kept
    want, got = decode(picture).pixels, decode(kept).pixels
    assert want.shape == got.shape == (160, 96, 3)
    assert np.abs(want.astype(int) - got).mean() < 8


def test_a_label_is_feedback_with_the_picture(service: ServiceProcess, client: httpx.Client) -> None:
    picture = files.save(files.noisy(80, 120), "PNG")
    for label, want in (("true", True), ("Roadwork", True), ("none", False), ("0", False)):
        found = judged(client, picture, label=label)
        assert found["label"] is want
        stored = client.get(f"/v1/verdicts/{found['verdict_id']}").json()
        assert stored["feedback"][0]["label"] is want
        assert stored["feedback"][0]["was_right"] is (found["roadwork_detected"] is want)
        assert stored["feedback"][0]["picture_kept"]
    assert decode(stored_picture(service, found["sha256"])).format == "jpeg"
    as_json = client.post("/v1/infer", json={"image": base64.b64encode(picture).decode(), "label": True})
    assert as_json.json()["label"] is True


def test_without_keep_or_label_no_picture_is_stored(service: ServiceProcess, client: httpx.Client) -> None:
    found = judged(client, files.save(files.noisy(64, 64), "PNG"))
    assert not (service.state / "pictures" / found["sha256"][:2] / f"{found['sha256']}.jpg").exists()


def test_feedback_is_stored_with_its_verdict(service: ServiceProcess, client: httpx.Client, photo: bytes) -> None:
    verdict = judged(client, photo)
    given = {"verdict_id": verdict["verdict_id"], "label": not verdict["roadwork_detected"], "note": "nur ein Kran 🏗"}
    first = client.post("/v1/feedback", json=given)
    assert first.status_code == 201
    assert first.json() | {"feedback_id": "", "created": ""} == {
        "feedback_id": "",
        "created": "",
        **given,
        "was_right": False,
        "picture_kept": False,
    }
    image = base64.b64encode(photo + b"trailing secret").decode()
    second = client.post("/v1/feedback", json={**given, "label": "roadwork", "image": image})
    assert second.json()["picture_kept"]
    stored = client.get(f"/v1/verdicts/{verdict['verdict_id']}").json()["feedback"]
    assert [each["note"] for each in stored] == [given["note"]] * 2
    kept = stored_picture(service, decode(photo + b"trailing secret").sha256)
    assert b"secret" not in kept


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 422),
        ({"verdict_id": "0" * 32, "label": True}, 404),
        ({"verdict_id": "x", "label": True}, 422),
        ({"verdict_id": "0" * 32}, 422),
        ({"verdict_id": "0" * 32, "label": None}, 422),
        ({"verdict_id": "0" * 32, "label": "perhaps"}, 422),
        ({"verdict_id": "0" * 32, "label": True, "more": 1}, 422),
        ({"verdict_id": "0" * 32, "label": True, "note": "n" * 2001}, 422),
        ([], 422),
    ],
)
def test_wrong_feedback_is_refused(client: httpx.Client, given: Any, status: int) -> None:
    assert client.post("/v1/feedback", json=given).status_code == status


def test_feedback_with_a_bad_picture_is_refused_and_not_stored(client: httpx.Client, photo: bytes) -> None:
    verdict = judged(client, photo)
    for image, status in (("%%%", 422), (base64.b64encode(b"GIF89a").decode(), 415)):
        given = {"verdict_id": verdict["verdict_id"], "label": True, "image": image}
        assert client.post("/v1/feedback", json=given).status_code == status
    assert client.get(f"/v1/verdicts/{verdict['verdict_id']}").json()["feedback"] == []
    bad = client.post("/v1/feedback", content=b"{", headers={"content-type": "application/json"})
    assert (bad.status_code, kind(bad)) == (400, "bad-request")


@pytest.mark.slow
def test_a_thousand_answers_are_all_in_the_store(service: ServiceProcess, scenes: list[bytes]) -> None:
    def many(part: int) -> list[str]:
        with service.client() as own:
            return [judged(own, scenes[number % 12], name=f"{part}/{number}")["verdict_id"] for number in range(125)]

    with ThreadPoolExecutor(8) as pool:
        ids = [name for each in pool.map(many, range(8)) for name in each]
    assert len(set(ids)) == 1000
    found: dict[str, bytes] = {}
    until = time.monotonic() + 20
    while not set(ids) <= found.keys() and time.monotonic() < until:  # they are in the journal first
        with closing(sqlite3.connect(service.state / "service.sqlite")) as store:
            found = dict(store.execute("SELECT id, body FROM verdicts"))
        time.sleep(0.02)
    assert set(ids) <= found.keys()
    assert all(json.loads(found[name])["stored"] for name in ids)


def test_earlier_verdicts_are_listed_page_by_page(client: httpx.Client, photo: bytes) -> None:
    ids = [judged(client, photo, name=f"page {number}")["verdict_id"] for number in range(5)]
    first = client.get("/v1/verdicts", params={"limit": 2}).json()
    assert [each["verdict_id"] for each in first["verdicts"]] == ids[:2:-1]
    second = client.get("/v1/verdicts", params={"limit": 3, "before": first["next"]}).json()
    assert [each["verdict_id"] for each in second["verdicts"]] == ids[2::-1]
    assert client.get("/v1/verdicts", params={"before": "0" * 32}).json() == {"verdicts": [], "next": None}
    for options in ({"limit": 0}, {"limit": 501}, {"before": "x"}, {"limit": "many"}):
        assert client.get("/v1/verdicts", params=options).status_code == 422
    assert client.get("/v1/verdicts/none").status_code == 404


def test_a_deadline_that_cannot_be_kept_is_said(client: httpx.Client, scenes: list[bytes]) -> None:
    statuses = set()
    for picture in scenes:
        response = ask(client, picture, deadline_ms=1)
        statuses.add(response.status_code)
        if response.status_code == 504:
            assert kind(response) == "deadline"
        else:  # an answer in time, or the best so far with the reason
            found = response.json()
            assert not found["degraded"] or found["reasons"]
    assert statuses <= {200, 504}


def test_the_service_says_what_it_runs(client: httpx.Client, cascade: Cascade) -> None:
    shown = client.get("/v1/cascade").json()
    assert shown["name"] == cascade.spec.name
    assert [level["name"] for level in shown["levels"]] == [level.name for level in cascade.spec.levels]
    models = {each["name"]: each for each in client.get("/v1/models").json()["models"]}
    assert models.keys() == set(cascade.spec.models)
    assert all(each["ready"] and each["breakers"][0]["state"] == "closed" for each in models.values())
    assert client.get("/health").json()["status"] == "alive"
    assert client.get("/ready").json() == {"ready": True, "reasons": []}
    assert {each["model"] for each in client.get("/v1/admin/breakers").json()["breakers"]} == models.keys()
    status = client.get("/v1/status").json()
    assert status["ready"]
    assert status["workers"] == 1
    assert status["requests"] >= sum(status["exits"].values())
