"""Pure arithmetic of decisions: calibration, vote, exit, verdict. No I/O, no clock, no framework."""

from __future__ import annotations

from natix_cascade.decide.advance import advance, replay
from natix_cascade.decide.arrays import EPS
from natix_cascade.decide.calibration import calibrate, logit, sigmoid
from natix_cascade.decide.exits import exits
from natix_cascade.decide.fit import fit_binning, fit_isotonic, fit_platt, fit_temperature
from natix_cascade.decide.metrics import (
    Confusion,
    accuracy,
    best_threshold,
    bootstrap_by_group,
    confusion,
    mcc,
    reward,
    rolling_reward,
)
from natix_cascade.decide.outcome import confidence, mapped_probability, positive, thresholds
from natix_cascade.decide.progress import Progress, Round, rounds, start, stop, wanted
from natix_cascade.decide.reliability import Reliability, expected_calibration_error, reliability
from natix_cascade.decide.vote import VoteMethod, consensus, vote

__all__ = [
    "EPS",
    "Confusion",
    "Progress",
    "Reliability",
    "Round",
    "VoteMethod",
    "accuracy",
    "advance",
    "best_threshold",
    "bootstrap_by_group",
    "calibrate",
    "confidence",
    "confusion",
    "consensus",
    "exits",
    "expected_calibration_error",
    "fit_binning",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "logit",
    "mapped_probability",
    "mcc",
    "positive",
    "reliability",
    "replay",
    "reward",
    "rolling_reward",
    "rounds",
    "sigmoid",
    "start",
    "stop",
    "thresholds",
    "vote",
    "wanted",
]
