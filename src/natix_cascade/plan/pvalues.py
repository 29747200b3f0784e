"""P-values for a mean loss from labelled pictures: how sure one may be that it stays within a limit.

The *regret* of a picture is its loss under a plan less its loss under the reference: -1, 0 or 1 (or any number within
bounds). Every p-value here tests that the true mean is above a limit `alpha`, in the unit of the losses. A small one
(``p <= delta``) certifies that the mean is at most `alpha`, and is wrong in that with a chance of at most delta, for
every n and every distribution (Angelopoulos et al., Learn then Test, 2021, arXiv 2110.01052). All lie in [0, 1]; they
are 1 without data and for a limit at or below every loss, and 0 for a limit that no loss can exceed.

The exact tests ask for pictures that are independent. Where pictures come in groups (drives, places), only the groups
are, and `betting` over `clusters` is the test. `regret` picks the right one.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, betaincinv, gammaln, ndtri, rel_entr, xlog1py, xlogy

from natix_cascade.decide.arrays import Floats, expect_shape, masses, vector
from natix_cascade.errors import CascadeError

__all__ = ["Method", "betting", "binomial", "clusters", "hoeffding_bentkus", "paired", "pictures_needed", "regret"]

Method: TypeAlias = Literal["auto", "paired", "betting", "hoeffding"]

_NUISANCE = 1e-4  # what `paired` adds to p for not knowing the discordant share: 1 % of p = 0.01
_BETWEEN = 1.02  # for the shares that `paired` does not look at
_MANY = 300  # discordant pictures: their share hardly matters any more
_LARGEST_BET = 0.95  # share of the wealth that one row can take
_BLOCKS = 16  # stakes are reviewed after each 1 / 16 of the rows that are left
_ROUNDING = 1e-9


def hoeffding_bentkus(mean: float, n: int, alpha: float) -> float:
    """Hoeffding-Bentkus p-value of n independent losses in [0, 1] (Bates et al., 2021, arXiv 2101.02703).

    It knows only their mean: valid for all such losses and blunt for most. Raises CascadeError where `mean` is outside
    [0, 1], `n` is negative or `alpha` is not a number.
    """
    if not 0 <= mean <= 1:
        raise CascadeError(f"the mean loss is {mean}, but it must be in [0, 1]; rescale the losses first")
    known = _known(n, alpha, 0.0, 1.0)
    if known is not None:
        return known
    below = min(mean, alpha)
    hoeffding = math.exp(-n * float(rel_entr(below, alpha) + rel_entr(1 - below, 1 - alpha)))
    bentkus = math.e * float(bdtr(math.ceil(round(n * mean, 9)), n, alpha))
    return min(hoeffding, bentkus, 1.0)


def binomial(wrong: int, n: int, alpha: float) -> float:
    """Exact p-value of n independent losses of 0 or 1: the chance of at most `wrong` ones where their share is `alpha`.

    Raises CascadeError unless ``0 <= wrong <= n`` and `alpha` is a number.
    """
    if not 0 <= wrong <= n:
        raise CascadeError(f"{wrong} of {n} answers are wrong, but 0 to {n} must be; count again")
    known = _known(n, alpha, 0.0, 1.0)
    return float(bdtr(wrong, n, alpha)) if known is None else known


def paired(better: int, worse: int, n: int, alpha: float) -> float:
    """Exact p-value of n independent losses in {-1, 0, 1}; about as sharp as the normal approximation.

    Outcomes are ordered by ``(worse - better - n alpha) / sqrt(differ + 8 - n alpha**2)``, excess over scatter, with
    `differ` for worse + better or, if more, n |alpha| (8 keep few differences from looking like none). How likely an
    outcome as low or lower is depends on the true share q of pictures on which plan and reference differ. The largest
    chance over the confidence interval of q (Clopper and Pearson) at level 0.9999 is taken, plus the 0.0001 that the
    interval may fail (Berger and Boos, 1994, JASA 89). It is looked for at 16 q (at 8 where more than 300 differ); 2 %
    of it are added for what lies between, which was at most 1.3 % in 7,000 random cases.

    Of n pictures, `better` have loss -1 and `worse` loss 1; alpha may be 0 or negative. Raises CascadeError where a
    count is negative, they exceed `n` or `alpha` is not a number.
    """
    if min(better, worse) < 0 or better + worse > n:
        raise CascadeError(f"{better} better and {worse} worse of {n} pictures cannot be; give disjoint counts")
    known = _known(n, alpha, -1.0, 1.0)
    if known is not None:
        return known
    differ, excess = better + worse, worse - better - n * alpha
    if excess >= 0:
        return 1.0
    low = 0.0 if not differ else float(betaincinv(differ, n - differ + 1, _NUISANCE / 2))
    high = 1.0 if differ == n else float(betaincinv(differ + 1, n - differ, 1 - _NUISANCE / 2))
    low = max(low, abs(alpha), _ROUNDING / n)
    first, last = (math.asin(math.sqrt(share)) for share in (low, max(low, high)))
    shares = np.clip(np.sin(np.linspace(first, last, 16 if n * high < _MANY else 8)) ** 2, abs(alpha), 1.0)
    score = excess / math.sqrt(_spread(differ, n, alpha))
    tail = max(_tail(score, n, alpha, share) for share in shares.tolist())
    return min(_BETWEEN * tail + _NUISANCE, 1.0)


def betting(values: ArrayLike, low: ArrayLike, high: ArrayLike, *, seed: int = 0, aim: float = 0.05) -> float:
    """P-value for a mean of at least 0, by betting against it (Waudby-Smith and Ramdas, 2024, JRSS B 86).

    A player stakes on each next row being negative, knowing the rows before it. Where the mean is 0 or more, no play
    gains on average, and w times the first wealth is ever reached with a chance of at most 1 / w (Ville, 1939). A stake
    is the one that suits ``1 / aim`` over the rows left, at the scatter so far (STaR-Bets: Voráček and Orabona, 2025,
    arXiv 2505.22422).

    Parameters
    ----------
    values : (n,) array of float
        Independent rows of one distribution (one per group; see `clusters`), in any one unit.
    low, high : float or (n,) arrays of float
        What rows could be, known beforehand, not read from the values. Of arrays the extremes count: a stake must not
        look at its own row, as nothing says that the mean is >= 0 at each size of row.
    seed : int
        Rows are played in an order drawn by it, as a stake must not depend on how they were sorted. Fix it beforehand.
    aim : float
        The level at which the test is to be sharpest, in (0, 1). The p-value is valid at every level.

    Raises
    ------
    CascadeError
        Shapes differ, a value is outside its bounds, 0 is not between the bounds, or `aim` is outside (0, 1).
    """
    x, least, most = vector("values", values), np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    expect_shape("low", least.shape, x.shape if least.ndim else ())
    expect_shape("high", most.shape, x.shape if most.ndim else ())
    if not 0 < aim < 1:
        raise CascadeError(f"aim is {aim}, but it must be in (0, 1); give the level that p is compared with")
    if not len(x):
        return 1.0
    worst, best = float(most.max()), float(least.min())
    if not -math.inf < best < 0 < worst < math.inf:
        raise CascadeError(f"the bounds are {best} and {worst}, but 0 must lie between them; take the limit off first")
    slack = _ROUNDING * max(worst, -best)
    if not ((x >= least - slack) & (x <= most + slack)).all():
        raise CascadeError(f"values are not all within their bounds ({best} to {worst}); give bounds of all possible")
    gains = -x[np.random.default_rng(seed).permutation(len(x))] / worst
    return math.exp(-_highest_log_wealth(gains, -math.log(aim)))


def clusters(
    losses: ArrayLike,
    groups: ArrayLike,
    alpha: float,
    weights: ArrayLike | None = None,
    *,
    low: float = -1.0,
    high: float = 1.0,
) -> tuple[Floats, Floats, Floats]:
    """One row per group for `betting`: its sum of ``weight * (loss - alpha)``, and the least and most it could be.

    The mean of such rows is at least 0 where the (weighted) mean loss per picture is at least `alpha`. The largest
    group here stands for the largest there is. No test can do with fewer groups than about ``-log(delta) * largest /
    (alpha * mean size)``, as bad groups of that size could hide (with weights of 1 / size, which certify the mean per
    group: ``-log(delta) / alpha``). Parameters and errors as for `regret`; returns (k,) arrays, for k groups.
    """
    x = _bounded(losses, low, high)
    w = masses(weights, len(x))
    names = np.asarray(groups)
    expect_shape("groups", names.shape, x.shape)
    _, member = np.unique(names, return_inverse=True)
    size = np.bincount(member, w).astype(np.float64)
    values: Floats = np.bincount(member, w * (x - alpha)).astype(np.float64)
    return values, (low - alpha) * size, (high - alpha) * size


def regret(
    losses: ArrayLike,
    alpha: float,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    low: float = -1.0,
    high: float = 1.0,
    method: Method = "auto",
    seed: int = 0,
    aim: float = 0.05,
) -> float:
    """P-value for a mean loss per picture above `alpha`; small ones certify that it is not.

    Parameters
    ----------
    losses : (n,) array of float
        In [low, high]; for a plan against a reference -1, 0 or 1.
    alpha : float
        The limit.
    groups : (n,) array, optional
        Which group each picture belongs to (default: its own); groups are independent draws of one distribution.
    weights : (n,) array of float, optional
        What each picture counts, >= 0: for pictures as often as elsewhere, the ratio of densities.
    low, high : float
        Bounds of one loss.
    method : str
        "auto" is `paired` for single pictures without weights and with losses -1, 0 and 1, else `betting` over
        `clusters`. "hoeffding" is `hoeffding_bentkus` of the losses moved to [0, 1].
    seed, aim : int and float
        For `betting`; `aim` is best the level that p is compared with.

    Raises
    ------
    CascadeError
        Shapes differ, a loss is outside its bounds, or the method does not fit the data.
    """
    x = _bounded(losses, low, high)
    names = np.arange(len(x)) if groups is None else np.asarray(groups)
    expect_shape("groups", names.shape, x.shape)
    single = weights is None and (groups is None or len(np.unique(names)) == len(x))
    signs = bool(np.isin(x, (-1.0, 0.0, 1.0)).all()) and -1 <= low < high <= 1
    if method not in get_args(Method):
        raise CascadeError(f"method is {method!r}, but auto, paired, betting or hoeffding is needed")
    if method == "auto":
        method = "paired" if single and signs else "betting"
    elif method != "betting" and not single:
        raise CascadeError(f"method {method} takes no weights and no groups of several pictures; use betting")
    if method == "paired" and not signs:
        raise CascadeError("method paired takes losses of -1, 0 and 1 only; use betting or hoeffding")
    known = _known(int(masses(weights, len(x)).any()), alpha, low, high)
    if known is not None:
        return known
    if method == "paired":
        return paired(int((x == -1).sum()), int((x == 1).sum()), len(x), alpha)
    if method == "hoeffding":
        span = high - low
        return hoeffding_bentkus(float((x - low).mean()) / span, len(x), (alpha - low) / span)
    return betting(*clusters(x, names, alpha, weights, low=low, high=high), seed=seed, aim=aim)


def pictures_needed(mean: float, variance: float, alpha: float, delta: float) -> int | None:
    """About how many labelled pictures certify, in half of all cases, a plan that is as good as it looks.

    `mean` and `variance` are of the regret per picture; for groups of several, give the variance of the mean times the
    number of pictures. The normal approximation, ``variance * z**2 / gap**2`` with ``gap = alpha - mean``, plus what an
    exact test needs without any scatter, ``-log(delta) / gap``. None where ``mean >= alpha``, as no number would do.
    Raises CascadeError unless all are finite, `variance` is >= 0 and `delta` in (0, 1).
    """
    if not (math.isfinite(mean + alpha) and 0 <= variance < math.inf and 0 < delta < 1):
        given = f"mean {mean}, variance {variance}, alpha {alpha} and delta {delta}"
        raise CascadeError(f"got {given}, but finite numbers, a variance >= 0 and a delta in (0, 1) are needed")
    gap = alpha - mean
    if gap <= 0:
        return None
    z = max(float(-ndtri(delta)), 0.0)
    return math.ceil(variance * (z / gap) ** 2 - math.log(delta) / gap)


def _known(n: int, alpha: float, low: float, high: float) -> float | None:
    """The p-value where the losses cannot matter, else None."""
    if n < 0 or math.isnan(alpha):
        raise CascadeError(f"n is {n} and alpha {alpha}, but n >= 0 and a number are needed")
    if not n or alpha <= low:
        return 1.0
    return 0.0 if alpha >= high else None


def _bounded(losses: ArrayLike, low: float, high: float) -> Floats:
    """Losses of shape (n,), all within [low, high]."""
    x = vector("losses", losses)
    if not (low < high and ((x >= low) & (x <= high)).all()):
        raise CascadeError(f"losses must be within {low} and {high}; leave out rows without a label (NaN)")
    return x


def _spread(differ: ArrayLike, n: int, alpha: float) -> Floats:
    """Variance of worse - better where so many pictures differ, about."""
    return np.maximum(differ, n * abs(alpha)) + 8.0 - n * alpha**2


def _tail(score: float, n: int, alpha: float, share: float) -> float:
    """Chance of at most `score` where a `share` of n pictures differs and the mean is `alpha`.

    Of how many differ, 6 standard deviations and 10 to both sides are summed; all that lies beyond is added.
    """
    reach = 10 + 6 * math.sqrt(n * share * (1 - share))
    differ = np.arange(max(math.floor(n * share - reach), 0), min(math.ceil(n * share + reach), n) + 1)
    ways = gammaln(n + 1) - gammaln(differ + 1) - gammaln(n - differ + 1)
    chance = np.exp(ways + xlogy(differ, share) + xlog1py(n - differ, -share))
    most = np.floor((differ + n * alpha + score * np.sqrt(_spread(differ, n, alpha)) + _ROUNDING) / 2)  # of the worse
    within = bdtr(np.clip(most, 0, differ), differ, min(max(0.5 + alpha / (2 * share), 0.0), 1.0))
    return float(chance @ np.where(most < 0, 0.0, within)) + max(1 - float(chance.sum()), 0.0)


def _highest_log_wealth(gains: Floats, goal: float) -> float:
    """Log of the most that the player ever has, with `goal` as the first goal; gains are at least -1."""
    n = len(gains)
    scatter = np.sqrt(np.cumsum(np.concatenate([[1.0], np.square(gains[:-1])])) / np.arange(1, n + 1))
    at, wealth, highest = 0, 0.0, 0.0
    while at < n:
        block = slice(at, at + max((n - at) // _BLOCKS, 1))
        wanted = math.sqrt(2 * (goal - wealth) / (n - at))
        path = wealth + np.cumsum(np.log1p(np.minimum(wanted / scatter[block], _LARGEST_BET) * gains[block]))
        highest = max(highest, float(path.max()))
        if highest < goal:
            at, wealth = block.stop, float(path[-1])
            continue
        reached = int(np.argmax(path >= goal))  # play on from there, for twice as much
        at, wealth = at + reached + 1, float(path[reached])
        highest, goal = wealth, wealth + math.log(2)
    return highest
