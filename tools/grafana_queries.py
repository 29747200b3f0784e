"""PromQL of the dashboards: rates before sums, ratios that are absent where there is nothing to divide by.

`$instance`, `$level`, `$model` and `$gpu` are Grafana's variables; `$__rate_interval` is its own.
"""

from __future__ import annotations

__all__ = ["EVERYWHERE", "LEVEL", "MODEL", "STEP", "gauge", "increase", "mean", "quantile", "rate", "ratio", "zero"]

EVERYWHERE = 'instance=~"$instance"'
LEVEL = 'level=~"$level"'
MODEL = 'model=~"$model"'
STEP = "$__rate_interval"
_ALIVE = f"cascade_active_requests{{{EVERYWHERE}}}"


def gauge(name: str, *where: str) -> str:
    """A series of ours, of the chosen instances; `where` are further matchers."""
    return f"cascade_{name}{{{','.join((EVERYWHERE, *where))}}}"


def rate(name: str, *where: str, by: str = "", over: str = STEP, back: str = "") -> str:
    """Increase of a counter each second, summed.

    Parameters
    ----------
    name : str
        Without ``cascade_``.
    where : str
        Matchers of labels.
    by : str
        Labels that are kept, with commas between.
    over, back : str
        The window, and how long ago it ended.
    """
    return _summed("rate", name, where, by=by, over=over, back=back)


def increase(name: str, *where: str, by: str = "", over: str = STEP, back: str = "") -> str:
    """Increase of a counter over a window, summed; as `rate`."""
    return _summed("increase", name, where, by=by, over=over, back=back)


def quantile(q: float, name: str, *where: str, by: str = "", over: str = STEP) -> str:
    """A quantile of a histogram; absent, not NaN, where nothing was observed."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q:g}, {rate(f'{name}_bucket', *where, by=labels, over=over)}) >= 0"


def mean(name: str, *where: str, by: str = "", over: str = STEP, back: str = "") -> str:
    """Mean of what a histogram observed; absent where that was nothing."""
    part = rate(f"{name}_sum", *where, by=by, over=over, back=back)
    return ratio(part, rate(f"{name}_count", *where, by=by, over=over, back=back))


def ratio(part: str, whole: str, *, shares: bool = False) -> str:
    """One over another; absent where the other is 0. With `shares`, each part of one whole."""
    return f"{part} / {'on () group_left () ' if shares else ''}({whole} > 0)"


def zero(expression: str, like: str = "") -> str:
    """A sum that is 0, not absent, where nothing was counted and the service lives, or where `like` has a series."""
    return f"({expression} or 0 * {like or f'sum({_ALIVE})'})"


def _summed(function: str, name: str, where: tuple[str, ...], *, by: str, over: str, back: str) -> str:
    head = f"sum by ({by})" if by else "sum"
    ago = f" offset {back}" if back else ""
    return f"{head} ({function}({gauge(name, *where)}[{over}]{ago}))"
