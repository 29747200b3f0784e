from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from natix_cascade.decide import confidence, logit, mapped_probability, sigmoid
from natix_cascade.errors import CascadeError

law = settings(deadline=None, max_examples=100)
inner = st.floats(1e-9, 1 - 1e-9)


@law
@given(p=arrays(float, st.integers(1, 20), elements=st.floats(0, 1)), threshold=inner)
def test_the_mapped_side_is_the_answer_and_never_one_half(p: np.ndarray, threshold: float) -> None:
    p = np.sort(np.append(p, threshold))
    q = mapped_probability(p, threshold)
    np.testing.assert_array_equal(q > 0.5, p >= threshold)
    assert (q.astype(np.float32) != np.float32(0.5)).all()
    assert [round(float(x)) for x in q] == (p >= threshold).astype(int).tolist()
    assert ((q >= 0) & (q <= 1)).all()
    assert (np.diff(q) >= -1e-12).all()


def test_log_odds_are_shifted_by_those_of_the_threshold() -> None:
    np.testing.assert_allclose(mapped_probability([0.9], 0.8), sigmoid(logit([0.9]) - logit(0.8)))
    np.testing.assert_allclose(mapped_probability([0.1, 0.9], 0.5), [0.1, 0.9])
    np.testing.assert_allclose(mapped_probability([0.9, 0.9], [0.5, 0.95]), [0.9, 9 / 28])


def test_the_answer_wins_over_the_threshold() -> None:
    q = mapped_probability([0.4, 0.6], 0.5, np.array([True, False]))
    assert q[0] > 0.5 > q[1]


def test_silence_stays_silence() -> None:
    assert np.isnan(mapped_probability([np.nan], 0.5)).all()
    assert np.isnan(confidence([np.nan])).all()


@law
@given(q=st.floats(0, 1))
def test_confidence_is_that_of_the_own_side(q: float) -> None:
    assert float(confidence(q)) == max(q, 1 - q) >= 0.5


def test_shapes_are_checked() -> None:
    with pytest.raises(CascadeError, match="positive has shape"):
        mapped_probability([0.5], 0.5, np.array([True, False]))
