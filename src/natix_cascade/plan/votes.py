"""What is known once a set of models has answered: the winner, and how sure the vote is of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide import logit, sigmoid, vote
from natix_cascade.decide.calibration import clip, log_odds
from natix_cascade.decide.labels import pool_labels
from natix_cascade.plan.loss import Prices
from natix_cascade.plan.opinions import Opinions

__all__ = ["Ballot", "State", "Voting", "count", "decision_threshold", "fit_ballot"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Voting: TypeAlias = Literal["log_odds", "mean"]

_STEPS = 25
_STILL = 1e-5
_PRIOR = 25.0  # pictures that equal weights are worth before data
_LEAST = 1e-3  # weights below this share of the largest are dropped


@dataclass(frozen=True, slots=True)
class Ballot:
    """How a set of models votes.

    Attributes
    ----------
    columns : tuple of int
        The models.
    weights : tuple of float
        Theirs; the mean is 1.
    voting : {"log_odds", "mean"}
        Method of the vote.
    threshold : float
        Where yes begins (label records: 0.5, not used).
    """

    columns: tuple[int, ...]
    weights: tuple[float, ...]
    voting: Voting
    threshold: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What is known of n pictures after a ballot.

    Attributes
    ----------
    winner : (n,) array of int
        The label that wins; -1 where nobody answered.
    strength : (n,) array of float
        How far the vote is from turning over: larger is surer. Yes/no: distance in log-odds from the threshold; label
        records: the winner's probability.
    loss : (n,) array of float
        Of the winner.
    """

    winner: Ints
    strength: Floats
    loss: Floats


def fit_ballot(opinions: Opinions, columns: Sequence[int], prices: Prices, voting: Voting) -> Ballot:
    """Fit the weights of a vote, and for yes/no records where yes begins.

    ``mean``: maximum likelihood of the mixture (stacking of predictive distributions: Yao et al., Bayesian Analysis
    2018) by expectation maximisation. ``log_odds``: logistic regression on the log-odds without a shift, weights not
    negative. Both with a mild prior on equal weights.

    Parameters
    ----------
    opinions : Opinions
        Held out.
    columns : sequence of int
        Who votes.
    prices : Prices
        For the decision threshold.
    voting : {"log_odds", "mean"}
        The method.
    """
    at = tuple(columns)
    table, w = opinions.p[:, at], opinions.weight
    if len(at) == 1:
        weights = np.ones(1)
    elif voting == "mean":
        weights = _mixture(_given_to_truth(opinions, at), w)
    else:
        weights = _logistic(table, opinions.truth == 1, w)
    weights = np.where(weights < _LEAST * weights.max(), 0.0, weights)
    rounded = tuple(float(f"{value:.6g}") for value in weights / weights.mean())
    ballot = Ballot(at, rounded, voting)
    if not opinions.yes_no:
        return ballot
    p = vote(voting, table, rounded)
    return Ballot(at, rounded, voting, decision_threshold(p, opinions.truth == 1, w, prices))


def count(opinions: Opinions, ballot: Ballot, prices: Prices) -> State:
    """Count a ballot."""
    at = ballot.columns
    if opinions.yes_no:
        p = vote(ballot.voting, opinions.p[:, at], ballot.weights)
        winner = np.where(np.isnan(p), -1, p >= ballot.threshold).astype(np.int64)
        strength = np.abs(logit(p) - float(logit(ballot.threshold)))
    else:
        winner, strength = pool_labels(opinions.answer[:, at], opinions.p[:, at], ballot.weights, opinions.kinds)
    return State(winner, np.where(winner < 0, -1.0, strength), prices.loss(opinions.truth, winner))


def decision_threshold(p: Floats, yes: NDArray[np.bool_], weight: Floats, prices: Prices) -> float:
    """Where yes begins so that the loss is least; the middle of the widest such stretch, in log-odds.

    Parameters
    ----------
    p : (n,) array of float
        Probabilities; NaN is left out.
    yes : (n,) array of bool
        The truth.
    weight : (n,) array of float
        What each row counts.
    prices : Prices
        Loss of a false yes and of a missed one.
    """
    known = ~np.isnan(p)
    order = np.argsort(p[known], kind="stable")
    x, y, w = log_odds(clip(p[known][order])), yes[known][order], weight[known][order]
    step = np.where(y, w * prices.missed, -w * prices.false_yes)  # loss of calling one more picture no
    total = np.concatenate([[0.0], np.cumsum(step)])
    edges = np.concatenate([[-14.0], x, [14.0]])
    total[np.diff(edges) <= 0] = np.inf  # no threshold lies between equal values
    # a plateau of near-optimal thresholds: within a quarter of one picture's loss
    good = total <= total.min() + 0.25 * min(prices.missed, prices.false_yes)
    runs = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    low, high = edges[runs[::2]], edges[runs[1::2]]
    widest = int(np.argmax(high - low))
    return float(np.clip(round(float(sigmoid((low[widest] + high[widest]) / 2)), 6), 1e-4, 1 - 1e-4))


def _given_to_truth(opinions: Opinions, at: tuple[int, ...]) -> Floats:
    """Probability that each model gives to the true label, (n, k); NaN where it gives none."""
    p = opinions.p[:, at]
    if opinions.yes_no:
        return np.where((opinions.truth == 1)[:, None], p, 1.0 - p)
    right = opinions.answer[:, at] == opinions.truth[:, None]
    return np.where(right, p, (1.0 - p) / max(opinions.kinds - 1, 1))


def _mixture(given: Floats, w: Floats) -> Floats:
    known = ~np.isnan(given)
    table = np.where(known, np.maximum(given, 1e-9), 0.0)
    rows = known.any(axis=1)
    table, mass = table[rows], w[rows]
    weights = np.full(table.shape[1], 1.0 / table.shape[1])
    for _ in range(_STEPS):
        share = table * weights
        found = mass @ (share / share.sum(axis=1, keepdims=True)) + _PRIOR / len(weights)
        weights = found / found.sum()
    return weights


def _logistic(table: Floats, yes: NDArray[np.bool_], w: Floats) -> Floats:
    x = np.where(np.isnan(table), 0.0, log_odds(clip(np.where(np.isnan(table), 0.5, table))))
    k = x.shape[1]
    free = np.ones(k, dtype=np.bool_)
    weights = np.full(k, 1.0 / k)
    prior = np.full(k, 1.0 / k)
    for _ in range(k):
        weights = np.where(free, np.maximum(weights, 0.0), 0.0)
        for _ in range(_STEPS):
            q = sigmoid(x @ weights)
            slope = x.T @ (w * (q - yes)) + _PRIOR * (weights - prior)
            bend = (x * (w * q * (1 - q))[:, None]).T @ x + _PRIOR * np.eye(k)
            step = np.zeros(k)
            step[free] = np.linalg.solve(bend[np.ix_(free, free)], slope[free])
            weights = weights - step / max(1.0, float(np.abs(step).max()))
            if float(np.abs(step).max()) < _STILL:
                break
        if (weights >= 0).all():
            break
        free &= weights > 0  # an active set: who would vote against himself does not vote
    return weights if weights.max() > 0 else prior
