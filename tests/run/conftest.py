"""Small pictures, cascades of scripted models, and a house-keeping that no test can forget."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natix_cascade.image import Picture
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.events import Listener
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.testing import ScriptedLevel, ScriptedModel, render_scene, scripted_cascade

sys.path.insert(0, str(Path(__file__).parent))  # for scan_child.py and scan_files.py: test folders are not packages

Levels = Sequence[ScriptedModel | Sequence[ScriptedModel] | ScriptedLevel]


@pytest.fixture(scope="session")
def grey() -> Callable[[int], Picture]:
    """A picture of one grey, 0 to 255, which scripts can tell from the others."""

    def make(value: int) -> Picture:
        return Picture(np.full((8, 8, 3), value, np.uint8), f"grey-{value}", f"{value:064x}", "png", 8, 8)

    return make


@pytest.fixture
def cascade_of() -> Iterator[Callable[..., Cascade]]:
    """Cascades of scripted models; at the end whoever hangs is freed and all are closed."""
    made: list[tuple[Cascade, dict[str, Any]]] = []

    def make(levels: Levels, *, listeners: Sequence[Listener] = (), max_batch: int = 16, **options: Any) -> Cascade:
        resolved, models = scripted_cascade(levels, **options)
        cascade = Cascade(LoadedCascade(resolved, {}, models=models), listeners=listeners, max_batch=max_batch)
        made.append((cascade, models))
        return cascade

    yield make
    for cascade, models in made:
        for model in models.values():
            model.release.set()
        cascade.close()


@pytest.fixture(scope="session")
def scenes() -> list[bytes]:
    """JPEGs of eight rendered streets, half of them with roadwork."""
    return [render_scene(seed, roadwork=seed % 2 == 0, size=(320, 180)).jpeg() for seed in range(8)]


@pytest.fixture(scope="session")
def embedded() -> Iterator[Cascade]:
    """The shipped cascade."""
    with Cascade.load("embedded") as cascade:
        yield cascade
