"""Every error has its problem, and says nothing of the service's inside."""

from __future__ import annotations

import json

import pytest

from natix_cascade import errors
from natix_cascade.serve.problems import MEDIA_TYPE, Problem, ProblemError, problem_of


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.UnsupportedFormatError("x"), 415, "unsupported-format"),
        (errors.CorruptPictureError("x"), 422, "corrupt-picture"),
        (errors.PictureTooLargeError("x"), 413, "too-large"),
        (errors.PictureShapeError("x"), 422, "bad-shape"),
        (errors.PictureError("x"), 422, "bad-picture"),
        (errors.DeadlineError("x"), 504, "deadline"),
        (errors.SpecError("x"), 422, "invalid"),
        (errors.ModelError("x"), 503, "no-answer"),
        (errors.BreakerOpenError("x"), 503, "no-answer"),
        (errors.QueueFullError("x"), 503, "no-answer"),
        (errors.TransientModelError("x"), 503, "no-answer"),
    ],
)
def test_errors_of_the_library(error: Exception, status: int, kind: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.kind, problem.detail) == (status, kind, "x")
    assert ("retry-after" in problem.headers()) == (status == 503)


def test_each_picture_error_has_the_status_that_it_carries() -> None:
    kinds: list[type[errors.PictureError]] = [errors.PictureError, *errors.PictureError.__subclasses__()]
    for error in kinds:
        assert problem_of(error("x")).status == error.status


@pytest.mark.parametrize("error", [ValueError("/secret/path"), errors.CascadeError("/secret/path"), KeyError("key")])
def test_an_unknown_error_says_nothing_of_the_inside(error: Exception) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.kind) == (500, "internal")
    assert "secret" not in problem.as_bytes("/v1/infer").decode()


def test_a_problem_is_rfc_9457() -> None:
    body = json.loads(Problem("slow-request", "too slow").as_bytes("/v1/infer"))
    assert body.keys() == {"type", "title", "status", "detail", "instance"}
    assert body["type"].startswith("https://")
    assert body["type"].endswith("/problems/slow-request")
    assert body["status"] == 408
    assert "instance" not in Problem("slow-request", "too slow").as_dict()
    assert MEDIA_TYPE == "application/problem+json"


def test_retry_after_is_whole_seconds_and_never_none() -> None:
    for seconds, header in ((0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2"), (59.5, "60")):
        assert Problem("rate-limited", "x", seconds).headers() == {"retry-after": header}


def test_without_a_key_a_browser_is_told_to_ask_for_one() -> None:
    assert Problem("unauthorized", "x").headers()["www-authenticate"].startswith("Basic ")


def test_a_problem_error_is_its_problem() -> None:
    error = ProblemError("conflict", "it does not fit", retry_after_s=2.0)
    assert problem_of(error) is error.problem
    assert str(error) == "it does not fit"
