"""What every engine must do. A new engine is a line in ENGINES and a maker here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_onnx import Tiny, detector, night
from tiny_torch import bright_adfnet, bright_dinov3

from natix_cascade.errors import ModelError
from natix_cascade.models import ENGINES, LoadOptions, Model, load_model
from natix_cascade.spec.endpoints import Endpoint, Endpoints
from natix_cascade.testing import ScriptedModel
from natix_cascade.testing.chat import PretendedChat, ask_card

NIGHT_AND_DAY = {"slopes": (0.0, 0.05), "shifts": (0.0, -6.4)}


def onnx(**how: object) -> Callable[[Path], Model]:
    return lambda folder: load_model(*Tiny(**how).write(folder))


def brightness(pixels: np.ndarray) -> float:
    return float(pixels.mean()) / 255


def brightness_by_place(pixels: np.ndarray) -> np.ndarray:
    return pixels[:4, :4].mean(axis=2) / 64 - 2


def openai(**how: object) -> Callable[[Path], Model]:
    """A model on a server in a thread of this process; the server stops with the test."""

    def make(_: Path) -> Model:
        server = PretendedChat(brightness, **how).start()  # type: ignore[arg-type]
        SERVERS.append(server)
        endpoints = Endpoints(models={"tiny": (Endpoint(url=server.url, concurrency=4),)})
        return load_model(ask_card(thinks=bool(how.get("thinks"))), Path(), LoadOptions(endpoints=endpoints))

    return make


SERVERS: list[PretendedChat] = []


@pytest.fixture(autouse=True)
def no_server_stays() -> Iterator[None]:
    yield
    while SERVERS:
        SERVERS.pop().stop()


MAKERS: dict[str, dict[str, Callable[[Path], Model]]] = {
    "onnx": {
        "logit": onnx(),
        "probability": onnx(kind="probability", heat=True),
        "logits": onnx(kind="logits", layout="NCHW", fit="center_crop", **NIGHT_AND_DAY),
        "detector": lambda folder: load_model(*detector(folder)),
        "night": lambda folder: load_model(*night(folder)),
        "probabilities": onnx(
            kind="probabilities", dtype="float32", layout="NCHW", fit="pad", heat=True, height=16, **NIGHT_AND_DAY
        ),
    },
    "transformers": {"dinov3": bright_dinov3},
    "torch": {"adfnet": bright_adfnet},
    "openai": {
        "vllm": openai(),
        "vllm that thinks": openai(thinks=True),
        "sglang, odd words": openai(style="sglang", mass=1e-4),
        "openai": openai(style="openai"),
    },
    "scripted": {
        "plain": lambda _: ScriptedModel("plain", brightness),
        "explains": lambda _: ScriptedModel("explains", brightness, heat_map=brightness_by_place),
    },
}
HEAVY = {"transformers", "torch"}


def marked(*values: str) -> object:
    """A parameter that `-m train` selects where its engine needs torch."""
    return pytest.param(
        values if len(values) > 1 else values[0],
        marks=[pytest.mark.train] if values[0] in HEAVY else [],
        id="-".join(values),
    )


VARIANTS = [
    marked(engine, variant) for engine in [*ENGINES, "scripted"] for variant in MAKERS.get(engine, {"missing": None})
]
SIZES = [(8, 8), (4000, 80), (80, 4000), (37, 53), (360, 640), (9, 8)]


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Model]:
    engine, variant = request.param
    assert engine in MAKERS, f"engine {engine!r} is new: write a maker of small models for it here"
    made = MAKERS[engine][variant](tmp_path)
    yield made
    made.close()


def pictures(*, count: int = 7, size: tuple[int, int] = (24, 32)) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 30, (count, *size, 3))
    return [(noise[i] + 225 * i // max(1, count - 1)).astype(np.uint8) for i in range(count)]


def test_is_a_model_with_a_card(model: Model) -> None:
    assert isinstance(model, Model)
    assert model.card.positive in model.card.classes


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_of_picture_is_answered(model: Model, size: tuple[int, int]) -> None:
    prepared = [model.prepare(pixels) for pixels in pictures(count=2, size=size)]
    answers = model.predict(prepared)
    assert answers.scores.shape == (2,)
    assert np.isfinite(answers.scores).all()


def test_scores_are_probabilities_in_the_order_of_the_pictures(model: Model) -> None:
    prepared = [model.prepare(pixels) for pixels in pictures()]
    scores = model.predict(prepared).scores
    assert scores.shape == (7,)
    assert scores.dtype == np.float64
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) > 0).all()  # the pictures get brighter
    backwards = model.predict(prepared[::-1]).scores
    np.testing.assert_allclose(backwards[::-1], scores, atol=1e-6)


@pytest.mark.parametrize("explain", [False, True])
def test_a_batch_is_its_singles(model: Model, *, explain: bool) -> None:
    prepared = [model.prepare(pixels) for pixels in pictures()]
    together = model.predict(prepared, explain=explain)
    for index, one in enumerate(prepared):
        alone = model.predict([one], explain=explain)
        np.testing.assert_allclose(together.scores[index], alone.scores[0], atol=1e-5)
        if together.heat_maps is not None:
            assert alone.heat_maps is not None
            np.testing.assert_allclose(together.heat_maps[index], alone.heat_maps[0], atol=1e-4)


def test_heat_maps_only_when_asked_for(model: Model) -> None:
    prepared = [model.prepare(pixels) for pixels in pictures(count=3)]
    assert model.predict(prepared).heat_maps is None
    maps = model.predict(prepared, explain=True).heat_maps
    if maps is None:
        assert model.card.output.heat_map is None
    else:
        assert maps.ndim == 3
        assert len(maps) == 3
        assert maps.dtype == np.float32
        assert (np.diff(maps.mean(axis=(1, 2))) > 0).all()


def test_the_same_question_gets_the_same_answer(model: Model) -> None:
    pixels = pictures(count=1, size=(61, 47))[0]
    before = pixels.copy()
    first = model.predict([model.prepare(pixels)], explain=True)
    again = model.predict([model.prepare(pixels)], explain=True)
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_array_equal(pixels, before)  # what came in is not written to


def test_views_and_read_only_pictures_are_prepared(model: Model) -> None:
    pixels = pictures(count=1, size=(40, 60))[0]
    cropped = pixels[4:-4, ::-1]
    cropped.flags.writeable = False
    expected = model.predict([model.prepare(np.ascontiguousarray(cropped))]).scores
    np.testing.assert_array_equal(model.predict([model.prepare(cropped)]).scores, expected)


def test_threads_take_turns(model: Model) -> None:
    prepared = [model.prepare(pixels) for pixels in pictures()]
    expected = model.predict(prepared).scores
    turn, results = threading.Lock(), []

    def ask() -> None:
        inputs = [model.prepare(pixels) for pixels in pictures()]  # from many threads at once
        with turn:  # from one at a time
            results.append(model.predict(inputs).scores)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    for scores in results:
        np.testing.assert_array_equal(scores, expected)


def test_closing_twice_is_harmless(model: Model) -> None:
    model.close()
    model.close()


@pytest.mark.parametrize("engine", [marked(engine) for engine in ENGINES])
def test_a_closed_model_says_so(engine: str, tmp_path: Path) -> None:
    model = next(iter(MAKERS[engine].values()))(tmp_path)
    prepared = model.prepare(pictures(count=1)[0])
    model.close()
    with pytest.raises(ModelError, match="closed"):
        model.predict([prepared])
