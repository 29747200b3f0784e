"""What stands up from the road, out of a map of inverse depth: pure arithmetic on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["chance_of_share", "fit_plane", "road_region", "standing"]

_TOP_ROW = 0.55  # the road begins below this share of the picture's height
_TOP_WIDTH, _BOTTOM_WIDTH = 0.35, 1.0  # of the trapezoid, as shares of the picture's width
_ROUNDS = 12
_TUKEY = 4.685  # keeps 95 % of least squares' efficiency on normal noise
_MAD = 1.4826  # median absolute deviation to standard deviation
_LEAST_PART = 0.05  # the plane's inverse depth is never taken for less than this share of its largest


def road_region(rows: int, columns: int) -> NDArray[np.bool_]:
    """Where a camera of a car sees the road: a trapezoid that widens to the lower edge, ``(rows, columns)``."""
    y = (np.arange(rows)[:, None] + 0.5) / rows
    x = (np.arange(columns)[None, :] + 0.5) / columns
    down = np.clip((y - _TOP_ROW) / (1 - _TOP_ROW), 0, 1)
    half_width = (_TOP_WIDTH + (_BOTTOM_WIDTH - _TOP_WIDTH) * down) / 2
    return np.asarray((y >= _TOP_ROW) & (np.abs(x - 0.5) <= half_width), np.bool_)


def fit_plane(inverse: NDArray[np.float64], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The road's inverse depth at every pixel, fitted over a region.

    A pinhole camera sees a plane with an inverse depth that is linear in the pixel's coordinates; a monocular network's
    unknown scale and shift keep it so. Things on the road are outliers: iteratively reweighted least squares with
    Tukey's biweight (Holland and Welsch 1977, "Robust regression using iteratively reweighted least-squares").

    Parameters
    ----------
    inverse : NDArray
        ``(h, w)`` inverse depth, larger is nearer.
    region : NDArray
        ``(h, w)`` bool.

    Returns
    -------
    NDArray
        ``(h, w)``.
    """
    rows, columns = inverse.shape
    y, x = np.mgrid[0:rows, 0:columns]
    design = np.stack([x / columns, y / rows, np.ones_like(inverse)], axis=-1)
    points, values = design[region], inverse[region]
    weights = np.ones(len(values))
    plane = np.zeros(3)
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        plane = np.linalg.lstsq(points * root, values * root[:, 0], rcond=None)[0]
        residuals = values - points @ plane
        scale = _MAD * float(np.median(np.abs(residuals)))
        if scale <= np.finfo(np.float32).eps * max(1.0, float(np.abs(values).max())):
            break
        weights = np.clip(1 - (residuals / (_TUKEY * scale)) ** 2, 0, None) ** 2
    return np.asarray(design @ plane, np.float64)


def standing(inverse: NDArray[np.floating], height: float) -> tuple[float, NDArray[np.bool_]]:
    """Share of the road on which something stands, and where.

    Parameters
    ----------
    inverse : NDArray
        ``(h, w)`` inverse depth, larger is nearer.
    height : float
        How much nearer than the road a pixel must be, as a share of the road's inverse depth there.

    Returns
    -------
    share : float
        0 to 1, of the region of the road.
    mask : NDArray
        ``(h, w)`` bool.
    """
    given = np.asarray(inverse, np.float64)
    region = road_region(*given.shape)
    plane = fit_plane(given, region)
    least = _LEAST_PART * float(np.abs(plane[region]).max(initial=0.0))
    mask = region & (given - plane > height * np.maximum(np.abs(plane), max(least, 1e-9)))
    return float(mask.sum() / max(1, region.sum())), mask


def chance_of_share(share: float, half: float) -> float:
    """P(positive) of a share of the road: 0 of nothing, one half at `half`, and near 1 of all of it."""
    return float(1.0 - 2.0 ** (-share / half))
