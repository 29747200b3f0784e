"""Reading what the service says, and what it says when something is wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from natix_cascade.client.answers import Answer, Explanation, PictureProblem, understand
from natix_cascade.client.errors import (
    LateError,
    OverloadedError,
    RefusedPictureError,
    ServiceError,
    UnauthorizedError,
    retry_after,
    service_error,
)
from natix_cascade.errors import CascadeError

Make = Callable[..., dict[str, Any]]


def test_every_key_of_a_verdict_is_read(verdict: Make) -> None:
    data = verdict(label=True)
    answer = Answer.of(data)
    read = {field.name for field in dataclasses.fields(answer)}
    said = {key.replace("roadwork_detected", "detected").replace("model_predictions", "opinions") for key in data}
    assert said <= read
    for name in said - {"created", "place", "opinions", "levels_executed", "reasons"}:
        assert getattr(answer, name) == data.get(name, data["roadwork_detected"])
    assert answer.created == datetime(2026, 11, 24, 6, 12, 1, 123000, UTC)
    assert answer.place == (48.1, 11.6)
    assert answer.levels_executed == ("gate", "lite0")
    assert [opinion.model for opinion in answer.opinions] == ["road-gate", "road-lite0"]
    assert answer.opinions[0].score == 0.61
    assert answer.opinions[1].failure == "it timed out"
    assert answer.raw is data


def test_the_name_of_the_question_is_part_of_a_key(verdict: Make) -> None:
    data = verdict()
    data["flood_detected"] = not data.pop("roadwork_detected")
    answer = Answer.of(data)
    assert answer.question == "flood"
    assert not answer


def test_an_answer_is_true_when_it_says_yes(verdict: Make) -> None:
    assert Answer.of(verdict(roadwork_detected=True))
    assert not Answer.of(verdict(roadwork_detected=False))


def test_an_explanation_may_be_without_a_heat_map() -> None:
    explanation = Explanation.of({"heat_map": None, "picture": "data:image/jpeg;base64,/9j/", "marked_picture": None})
    assert explanation == Explanation(None, b"\xff\xd8\xff", None)


@pytest.mark.parametrize("broken", [{}, [], {"verdict_id": 1}, "text", None])
def test_another_server_is_recognised(broken: object) -> None:
    with pytest.raises(ServiceError, match=r"POST /v1/infer.*cannot be understood"):
        understand("POST /v1/infer", Answer.of, broken)


def test_a_key_that_is_missing_is_named(verdict: Make) -> None:
    data = verdict()
    del data["exit_level"]
    with pytest.raises(ServiceError, match="'exit_level' is missing"):
        understand("POST /v1/infer", Answer.of, data)


def test_a_picture_without_a_verdict_passes_neither_for_yes_nor_for_no() -> None:
    problem = PictureProblem(3, "a.jpg", ServiceError("it is damaged"))
    with pytest.raises(TypeError, match=r"picture 3 \(a.jpg\).*it is damaged"):
        bool(problem)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "bad-request", ServiceError),
        (401, "unauthorized", UnauthorizedError),
        (403, "forbidden", UnauthorizedError),
        (404, "not-found", ServiceError),
        (408, "slow-request", ServiceError),
        (409, "conflict", ServiceError),
        (413, "too-large", RefusedPictureError),
        (415, "unsupported-format", RefusedPictureError),
        (422, "bad-picture", RefusedPictureError),
        (422, "corrupt-picture", RefusedPictureError),
        (422, "bad-shape", RefusedPictureError),
        (422, "invalid", ServiceError),
        (429, "rate-limited", OverloadedError),
        (500, "internal", ServiceError),
        (503, "overloaded", OverloadedError),
        (503, "draining", OverloadedError),
        (503, "no-answer", OverloadedError),
        (504, "deadline", LateError),
    ],
)
def test_every_problem_of_the_contract_has_its_error(
    problem: Make, status: int, kind: str, error: type[ServiceError]
) -> None:
    body = json.dumps(problem(status, kind, "what the service says")).encode()
    found = service_error("POST /v1/infer", status, {"retry-after": "2"}, body)
    assert type(found) is error
    assert isinstance(found, CascadeError)
    assert (found.status, found.problem, found.detail, found.retry_after_s) == (
        status,
        kind,
        "what the service says",
        2,
    )
    assert "POST /v1/infer" in str(found)
    assert f"{status} {kind}: what the service says" in str(found)


def test_a_proxy_may_answer_in_its_own_words() -> None:
    found = service_error("POST /v1/infer", 413, {}, b"<html>\n<h1>413 Request Entity Too Large</h1>")
    assert type(found) is RefusedPictureError
    assert found.problem is None
    assert "Too Large" in str(found)


def test_a_key_that_the_answer_repeats_is_blotted_out() -> None:
    key = "abc-secret"
    found = service_error("GET /ready", 401, {}, b'{"detail": "key abc-secret is unknown"}', secret=key)
    assert key not in f"{found} {found!r} {found.detail}"
    assert "key *** is unknown" in str(found)


def test_retry_after_may_be_a_number_or_a_date() -> None:
    assert retry_after("1.5") == 1.5
    assert retry_after("-3") == 0
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)) == 0
    later = retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert later is not None
    assert 3000 < later <= 3600
    assert retry_after(None) is retry_after("soon") is retry_after("nan") is retry_after("inf") is None
