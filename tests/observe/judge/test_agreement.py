from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from natix_cascade.errors import CascadeError
from natix_cascade.observe.judge.agreement import agreement, auc, kappa, wilson

_rows = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.45, 0.5, 0.8, 1.0]), st.booleans()), min_size=2, max_size=60)


@given(_rows)
def test_kappa_and_auc_are_those_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([score for score, _ in rows]), np.array([right for _, right in rows])
    says = scores >= 0.5
    if truth.all() or not truth.any():
        assert auc(scores, truth) is None
    else:
        assert auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    if len({*truth.tolist(), *says.tolist()}) == 1:
        assert kappa(truth, says) is None
    else:
        assert kappa(truth, says) == pytest.approx(cohen_kappa_score(truth, says))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_scipy(share: tuple[int, int]) -> None:
    theirs = binomtest(*share).proportion_ci(0.95, "wilson")
    assert wilson(*share) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_a_worked_example() -> None:
    scores = [0.9, 0.8, 0.4, 0.2, np.nan, 0.5]
    found = agreement(scores, [True, True, True, False, True, False])
    assert (found.n, found.abstained, found.right) == (5, 1, 3)
    assert found.ratio == pytest.approx(3 / 5)
    assert found.kappa == pytest.approx((0.6 - 0.52) / 0.48)
    assert found.auc == pytest.approx((2 + 2 + 1) / 6)
    assert found.mean_right == pytest.approx(0.7)
    assert found.mean_wrong == pytest.approx(0.35)
    assert found.low is not None
    assert found.low < 0.6 < (found.high or 0)


def test_nothing_to_compare() -> None:
    assert agreement([], []).ratio is None
    found = agreement([np.nan], [True])
    assert (found.n, found.abstained, found.auc) == (0, 1, None)


@pytest.mark.parametrize("share", [(2, 1), (-1, 3), (0, 0)])
def test_no_share(share: tuple[int, int]) -> None:
    with pytest.raises(CascadeError, match="is none"):
        wilson(*share)


def test_lengths_that_differ() -> None:
    with pytest.raises(CascadeError):
        agreement([0.1], [True, False])
