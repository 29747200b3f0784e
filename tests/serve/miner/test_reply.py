from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.errors import ModelError
from natix_cascade.serve.miner.reply import GUESS, guess, prediction_of, reply_to
from natix_cascade.testing import ScriptedModel, scripted_cascade


class Answer:
    def __init__(self, probability: float, *, reasons: tuple[str, ...] = (), degraded: bool = False) -> None:
        self.detected = probability > 0.5
        self.probability = probability
        self.confidence = max(probability, 1 - probability)
        self.exit_level = "gate"
        self.reasons = reasons
        self.degraded = degraded


@given(st.floats(0, 1), st.booleans())
def test_a_validator_reads_the_answer_that_was_given(probability: float, detected: bool) -> None:  # noqa: FBT001
    sent = prediction_of(probability, detected=detected)
    for read in (sent, float(np.float32(sent)), float(np.float16(sent)), float(f"{sent:.3f}")):
        assert 0 <= read <= 1
        assert read != 0.5
        assert round(read) == int(detected)


@given(st.floats(0, 1).filter(lambda p: abs(p - 0.5) > 0.002))
def test_a_sure_answer_is_sent_as_it_is(probability: float) -> None:
    assert prediction_of(probability, detected=probability > 0.5) == probability


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.01, 1.01, -1.0])
def test_what_is_no_probability_is_not_sent(value: float) -> None:
    with pytest.raises(ModelError, match="between 0 and 1"):
        prediction_of(value, detected=True)


def test_the_explanation_says_what_why_and_by_whom() -> None:
    said = reply_to(Answer(0.93, reasons=("gate: the vote is P(roadwork) = 0.930", "not needed: lite0"))).explanation
    assert said.startswith("The picture shows roadwork (confidence 0.93, decided at level gate).")
    assert "Gate: the vote is P(roadwork) = 0.930. Not needed: lite0." in said
    no = reply_to(Answer(0.2, degraded=True), positive="pothole", remark="the service was late").explanation
    assert no.startswith("The picture shows no pothole (confidence 0.80")
    assert no.endswith("has answered. The service was late.")


@given(st.lists(st.text(), max_size=5))
def test_the_explanation_is_one_printable_line_of_bounded_length(reasons: list[str]) -> None:
    said = reply_to(Answer(0.9, reasons=tuple(reasons))).explanation
    assert 0 < len(said) <= 1200
    assert said.isprintable()


def test_a_guess_is_a_valid_no() -> None:
    assert guess("it is damaged").prediction == GUESS
    assert 0 <= GUESS < 0.5
    assert "guess" in guess("it is damaged").explanation


def test_a_verdict_of_the_cascade_is_an_answer() -> None:
    from natix_cascade.run.cascade import Cascade
    from natix_cascade.run.loaded import LoadedCascade
    from natix_cascade.testing import render_scene

    resolved, models = scripted_cascade([ScriptedModel("only", 0.97)])
    with Cascade(LoadedCascade(resolved, {}, models=models)) as cascade:
        verdict = cascade.detect(render_scene(1).jpeg())
    reply = reply_to(verdict)
    assert reply.prediction == verdict.probability
    assert "roadwork" in reply.explanation
