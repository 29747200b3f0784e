"""The calibration error against netcal, which needs torch: run with the train extra."""

from __future__ import annotations

import numpy as np
import pytest

from natix_cascade.decide import expected_calibration_error

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("default")]  # its imports warn


@pytest.mark.parametrize("bins", [1, 7, 10, 15])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_calibration_error_is_netcals(bins: int, seed: int) -> None:
    metrics = pytest.importorskip("netcal.metrics")
    draw = np.random.default_rng(seed)
    p = draw.random(500)
    labels = (draw.random(500) < p ** (1 + seed)).astype(np.int64)
    theirs = metrics.ECE(bins).measure(p, labels)
    assert expected_calibration_error(p, labels, bins) == pytest.approx(float(theirs), abs=1e-9)
