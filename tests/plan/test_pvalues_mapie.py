from __future__ import annotations

import numpy as np
import pytest

from natix_cascade.plan.pvalues import binomial, hoeffding_bentkus

pytest.importorskip("mapie")

from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value


@pytest.mark.parametrize("n", [1, 30, 999, 20_000])
def test_hoeffding_bentkus_is_mapies(n: int) -> None:
    means = np.random.default_rng(n).random(40) ** 3 * 0.999
    alphas = np.array([0.001, 0.02, 0.1, 0.5, 0.9])
    theirs = np.minimum(compute_hoeffding_bentkus_p_value(means, n, alphas), 1.0)
    ours = [[hoeffding_bentkus(float(mean), n, float(alpha)) for alpha in alphas] for mean in means]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_binomial_is_mapies_for_binary_losses() -> None:
    wrong, n = np.arange(0, 200, 8), 256  # n is a power of 2: wrong / n * n is exact
    for alpha in (0.05, 0.2, 0.5):
        theirs = compute_hoeffding_bentkus_p_value(wrong / n, n, alpha, binary=True)[:, 0]
        ours = [binomial(int(w), n, alpha) for w in wrong]
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
