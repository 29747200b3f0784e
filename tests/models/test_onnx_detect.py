"""ONNX detectors and night specialists: right boxes in the upright picture, and what is said of wrong cards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_onnx import Tiny, detector, lie, night

from natix_cascade.errors import ModelError
from natix_cascade.models import load_model
from natix_cascade.models.onnx_detect import DetectionReader
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Classify, Detect, Tell

WIDE, TALL = np.full((10, 20, 3), 128, np.uint8), np.full((20, 10, 3), 128, np.uint8)
LAYOUTS = ["yolo", "yolo_end_to_end", "detr"]
HALF = pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_boxes_are_right_in_the_upright_picture(tmp_path: Path, layout: str) -> None:
    model = load_model(*detector(tmp_path, layout))
    answers = model.predict([model.prepare(pixels) for pixels in (WIDE, TALL, WIDE[:, :10])])
    assert answers.scores == pytest.approx([0.5] * 3, abs=0.01)  # 128 * .05 - 6.4 is 0
    assert answers.evidence is not None
    places = [(box.x0, box.y0, box.x1, box.y1) for said in answers.evidence for box in said.boxes if box.score > 0.1]
    assert places == [(0.25, 0, 0.75, 1), (0, 0.25, 1, 0.75), (0.25, 0.25, 0.75, 0.75)]
    assert all(said.boxes[0].label == "cone" for said in answers.evidence)
    model.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stretched_pictures_need_no_undoing(tmp_path: Path, layout: str) -> None:
    card, path = detector(tmp_path, layout)
    model = load_model(lie(card, input__fit="stretch"), path)
    said = model.predict([model.prepare(WIDE)]).evidence[0]
    assert (said.boxes[0].x0, said.boxes[0].y0, said.boxes[0].x1, said.boxes[0].y1) == (0.25, 0.25, 0.75, 0.75)
    model.close()


def test_weights_and_thresholds_come_from_the_card(tmp_path: Path) -> None:
    card, path = detector(tmp_path)
    task = replace(card.task, evidence={"cone": 0.5})
    model = load_model(replace(card, task=task), path)
    assert model.predict([model.prepare(WIDE)]).scores[0] == pytest.approx(0.25, abs=0.01)
    model = load_model(replace(card, task=replace(task, min_score=0.6)), path)
    answers = model.predict([model.prepare(WIDE), model.prepare(TALL[:10] + 60)])
    assert answers.scores[0] == 0
    assert answers.evidence[0].boxes == ()
    assert answers.scores[1] == pytest.approx(0.5 / (1 + np.exp(-3)), abs=0.01)
    model.close()


def test_one_more_column_of_a_detr_is_nothing(tmp_path: Path) -> None:
    card, path = detector(tmp_path, "detr", columns=3)
    model = load_model(card, path)
    assert model.predict([model.prepare(WIDE)]).scores[0] == HALF
    model.close()


@pytest.mark.parametrize(
    ("layout", "task", "sentence"),
    [
        ("yolo", {"labels": ()}, "does not say what its columns mean; write labels under task"),
        ("yolo", {"evidence": {"cat": 0.5}}, r"evidence names \['cat'\], which are not among"),
        (
            "yolo",
            {"labels": ("cone",)},
            r"shape \(1, 6, 1\) to 1 pictures; layout yolo with 1 labels is \(1, 5, anchors\)",
        ),
        ("yolo", {"layout": "yolo_end_to_end"}, r"layout yolo_end_to_end with 2 labels is \(1, boxes, 6\)"),
        ("yolo", {"layout": "detr"}, "which output holds the boxes"),
        ("detr", {"labels": ("cone", "drum", "a", "b")}, r"\(1, queries, 4\), or one more for nothing"),
    ],
)
def test_wrong_cards_are_named(tmp_path: Path, layout: str, task: dict, sentence: str) -> None:
    card, path = detector(tmp_path, layout)
    with pytest.raises(ModelError, match=sentence):  # noqa: PT012  # some are seen at load, some at the first picture
        model = load_model(replace(card, task=replace(card.task, **task)), path)
        model.predict([model.prepare(WIDE)])


def test_labels_beyond_the_card_are_named(tmp_path: Path) -> None:
    card, _ = detector(tmp_path, "yolo_end_to_end")
    reader = DetectionReader(card, ["answer"])
    rows = np.array([[[0, 0, 4, 4, 0.9, 7]]], np.float32)
    with pytest.raises(ModelError, match="found label 7, its card has 2"):
        reader.read([rows], [(8, 8)])
    with pytest.raises(ModelError, match="NaN or infinity"):
        reader.read([rows * np.nan], [(8, 8)])


def test_a_detector_must_see_everything(tmp_path: Path) -> None:
    card, path = detector(tmp_path)
    with pytest.raises(ModelError, match="must see the whole picture"):
        load_model(lie(card, input__fit="center_crop"), path)
    with pytest.raises(ModelError, match="ONNX graphs classify or detect; its card's task is tell"):
        load_model(replace(card, task=Tell(prompt="<OCR>", terms={})), path)
    with pytest.raises(TypeError, match="wanted detect"):
        DetectionReader(replace(card, task=Classify()), ["answer"])


def without_file(card: ModelCard) -> ModelCard:
    return replace(card, weights=None)


def test_weights_may_be_a_folder(tmp_path: Path) -> None:
    card, path = detector(tmp_path)
    folder = tmp_path / "fetched"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"no model\.onnx in .*; export the model to ONNX once"):
        load_model(without_file(card), folder)
    shutil.copy(path, folder / "model.onnx")
    model = load_model(without_file(card), folder)
    assert model.predict([model.prepare(WIDE)]).scores[0] == HALF
    model.close()


def test_a_night_specialist_is_silent_by_day(tmp_path: Path) -> None:
    card, path = Tiny(heat=True).write(tmp_path)
    model = load_model(replace(card, task=Classify(dark_below=0.3)), path)
    dark, light = np.full((8, 8, 3), 40, np.uint8), np.full((8, 8, 3), 200, np.uint8)
    answers = model.predict([model.prepare(each) for each in (light, dark, light)], explain=True)
    assert answers.silent.tolist() == [True, False, True]
    assert answers.scores[1] == pytest.approx(1 / (1 + np.exp(4.4)), abs=1e-5)
    assert answers.heat_maps.shape == (3, 8, 8)
    assert answers.heat_maps[1].mean() == pytest.approx(-4.4, abs=1e-3)
    assert [said and said.text for said in answers.evidence] == [
        "no opinion: mean luminance 0.78, a night specialist speaks below 0.3",
        None,
        "no opinion: mean luminance 0.78, a night specialist speaks below 0.3",
    ]
    assert model.predict([model.prepare(light)]).silent.all()
    model.close()
    whole = load_model(*night(tmp_path))
    assert not whole.predict([whole.prepare(light)]).silent.any()
    whole.close()


def test_the_default_task_is_untouched(tmp_path: Path) -> None:
    card, path = Tiny().write(tmp_path)
    model = load_model(card, path)
    answers = model.predict([model.prepare(WIDE)])
    assert (answers.silent, answers.evidence) == (None, None)
    assert isinstance(card.task, Classify)
    assert not isinstance(card.task, Detect)
    model.close()
