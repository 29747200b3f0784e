"""How fast models answer: measured times by size of batch, read from a file.

::

    {"models": {"road-gate": {"ms": {"1": 0.4, "32": 0.9, "256": 4.1}, "source": "bench/results/gpu_models.json"}}}
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Len

from natix_cascade.errors import PlanError
from natix_cascade.spec.base import Spec
from natix_cascade.spec.files import read_spec

__all__ = ["Rate", "Rates", "rate_of", "read_rates"]

_Ms = dict[Annotated[int, Ge(1)], Annotated[float, Gt(0)]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate(Spec):
    """How long one copy of a model takes for a batch.

    Attributes
    ----------
    ms : dict
        Pictures of a batch to milliseconds for all of it, as measured. Between the measured sizes a straight line;
        below the smallest in proportion (a known rate then says nothing of the time that a single picture needs: it is
        taken as short as could be). No larger batch than the largest is ever formed.
    assumed : bool
        Not measured but derived from another model; `source` says how.
    source : str
        Where the figure comes from.
    """

    ms: Annotated[_Ms, Len(1)]
    assumed: bool = False
    source: str = ""

    @property
    def best_batch(self) -> int:
        """The measured batch with most pictures a second; the smallest of several."""
        return max(sorted(self.ms), key=lambda batch: batch / self.ms[batch])

    @property
    def per_second(self) -> float:
        """Pictures a second in batches of `best_batch`, one after the other."""
        return self.best_batch / self.seconds(self.best_batch)

    def seconds(self, batch: int) -> float:
        """Time for a batch of so many pictures, at most the largest measured."""
        sizes = sorted(self.ms)
        at = bisect_left(sizes, batch)
        if at == len(sizes):
            raise PlanError(f"a batch of {batch} pictures is larger than the largest measured one, {sizes[-1]}")
        high = sizes[at]
        low, low_ms = (sizes[at - 1], self.ms[sizes[at - 1]]) if at else (0, 0.0)
        return (low_ms + (self.ms[high] - low_ms) * (batch - low) / (high - low)) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates(Spec):
    """A file of rates.

    Attributes
    ----------
    models : dict
        Model name to its rate; ``card:role`` falls back on ``card``.
    device : str
        What it was measured on, for people.
    """

    models: dict[str, Rate]
    device: str = ""


def read_rates(path: str | Path) -> Rates:
    """Read a file of rates (JSON or YAML).

    Raises
    ------
    SpecError
        The file cannot be read or does not validate.
    """
    return read_spec(Path(path), Rates)


def rate_of(model: str, rates: Rates) -> Rate | None:
    """The rate of a model, or of its card where it is another role of the same weights; None where there is none."""
    return rates.models.get(model) or rates.models.get(model.partition(":")[0])
