"""A cascade of scripted models: small, fast, wrong now and then, and the same every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.models.base import Answers
from natix_cascade.report.manifest import Row, read_manifest
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.card import Cost, InputSpec, ModelCard, WeightsSpec
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec
from natix_cascade.spec.policy import Policy
from natix_cascade.spec.resolved import resolve
from natix_cascade.spec.rules import Platt, Threshold
from natix_cascade.testing import write_scenes


class Scripted:
    """Looks for orange, each with an eye of its own; `broken` says for which batches it fails."""

    def __init__(self, card: ModelCard, gain: float, *, broken: bool = False) -> None:
        self.card, self.gain, self.broken = card, gain, broken

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        red, green, blue = (pixels[::2, ::2, k].astype(np.float64) for k in range(3))
        orange = ((red - blue > 60) & (red - green > 25)).mean()
        return np.array([orange, pixels[::16, ::16].std()])

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        if self.broken:
            raise ModelError("scripted to fail")
        orange, spread = np.stack(batch).T
        x = self.gain * (np.log(orange + 1e-3) + 5.5) + 0.3 * np.sin(spread * self.gain)
        heat = np.zeros((len(batch), 4, 6), np.float32) if explain else None
        return Answers(1 / (1 + np.exp(-x)), heat)

    def close(self) -> None:
        pass


def card(name: str, gmacs: float, usd: float = 0.0) -> ModelCard:
    return ModelCard(
        name=name,
        licence="MIT",
        input=InputSpec(height=32, width=32),
        weights=WeightsSpec(file=f"{name}.onnx", sha256="0" * 64, bytes=1),
        cost=Cost(gmacs=gmacs, usd=usd),
    )


def make_loaded(*, broken: Sequence[str] = ()) -> LoadedCascade:
    cards = {c.name: c for c in (card("scout", 0.02), card("guard", 0.4), card("judge", 1.5, 0.002))}
    spec = CascadeSpec(
        name="scripted",
        levels=(
            LevelSpec(name="glance", members=(MemberSpec(model="scout"),), exit=Threshold(yes=0.9, no=0.1)),
            LevelSpec(name="look", members=(MemberSpec(model="guard"),), exit=Threshold(yes=0.8, no=0.2)),
            LevelSpec(name="study", members=(MemberSpec(model="judge", weight=2.0),)),
        ),
    )
    policy = Policy(name="p", cascade="scripted", threshold=0.45, calibrators={"guard": Platt(slope=1.2)})
    gains = {"scout": 1.0, "guard": 1.8, "judge": 2.6}
    models = {name: Scripted(cards[name], gain, broken=name in broken) for name, gain in gains.items()}
    return LoadedCascade(resolve(spec, cards, policy), {}, models=models)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of 12 rendered scenes, with sources and groups."""
    manifest = write_scenes(tmp_path_factory.mktemp("scenes"), 12, seed=40, size=(256, 144))
    lines = manifest.read_text("utf-8").splitlines()
    table = [f"{lines[0]},source_repo"]
    for index, line in enumerate(lines[1:]):
        cells = line.split(",")
        cells[2] = f"drive{index // 4}"
        cells[4] = ("N", "A", "N", "S")[index % 4]
        table.append(",".join([*cells, ("north/cam", "south/cam")[index % 3 > 0]]))
    manifest.write_text("\n".join(table) + "\n", "utf-8")
    return manifest


@pytest.fixture(scope="session")
def rows(scenes: Path) -> list[Row]:
    return read_manifest(scenes)


@pytest.fixture(scope="session")
def loaded_with() -> Callable[..., LoadedCascade]:
    return make_loaded
