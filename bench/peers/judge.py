"""What the peers call in their predict: the same models, with the cascade's early exits or without any.

Without exits all four models are asked about every picture and their log-odds vote: what one builds without a cascade.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from natix_cascade.errors import CascadeError
from natix_cascade.image import Picture, decode
from natix_cascade.report.study import without_exits
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.library import load_cascade

__all__ = ["FORMS", "Form", "Judge"]

Form = Literal["cascade", "ensemble"]
FORMS: tuple[Form, ...] = ("cascade", "ensemble")


class Judge:
    """Bytes in, verdicts as JSON out.

    Parameters
    ----------
    form : {"cascade", "ensemble"}
        With or without early exits.
    lanes : int
        Threads that decode and run the parts of a batch side by side.
    intra : int
        Threads of each ONNX Runtime session.
    batch : int
        Most pictures in one call of a model.
    """

    def __init__(self, form: Form, *, lanes: int, intra: int, batch: int) -> None:
        resolved, weights = load_cascade()
        loaded = LoadedCascade(resolved if form == "cascade" else without_exits(resolved), weights, threads=intra)
        loaded.load_all()
        self._short_side = loaded.short_side
        self._runner = BulkRunner(loaded, batch=batch)
        self._runner._workers = lanes  # noqa: SLF001  # another process has the other core
        self._pool = ThreadPoolExecutor(lanes) if lanes > 1 else None

    def __call__(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Verdicts in the order of the pictures."""
        if self._pool is None or len(bodies) == 1:
            pictures = [self._decode(body) for body in bodies]
        else:
            pictures = list(self._pool.map(self._decode, bodies))
        verdicts = self._runner.judge(pictures)
        for verdict in verdicts:
            if isinstance(verdict, CascadeError):
                raise verdict
        return [json.dumps(verdict.as_dict()).encode() for verdict in verdicts if not isinstance(verdict, CascadeError)]

    def _decode(self, body: bytes) -> Picture:
        return decode(body, short_side=self._short_side)
