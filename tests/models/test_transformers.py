"""The transformers engine on true architectures of a tiny size, against transformers' own processors."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_torch import CONES, CPU, TASKS, card_for, needs_torch

from natix_cascade.errors import ModelError, TransientModelError
from natix_cascade.models import LoadOptions, Model, load_model
from natix_cascade.models import transformers as engine
from natix_cascade.models.torch import Workbench
from natix_cascade.models.transformers import ARCHITECTURES, TransformersModel
from natix_cascade.spec.task import Classify, Detect, Find, Tell

pytestmark = pytest.mark.train


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tiny instance of each architecture."""
    needs_torch()
    from natix_cascade.rehearse.tiny_networks import write_network
    from natix_cascade.rehearse.tiny_vision import build_tiny_vision

    folder = tmp_path_factory.mktemp("zoo")
    for name in ARCHITECTURES:
        (folder / name).mkdir()
        if name == "rf_detr":  # without its ONNX graph, which takes long
            write_network(name, folder / name, (), 0)
        else:
            build_tiny_vision(name, folder / name)
    return folder


@pytest.fixture(params=sorted(TASKS))
def tiny(request: pytest.FixtureRequest, zoo: Path) -> Iterator[TransformersModel]:
    model = load_model(card_for(request.param), zoo / request.param, CPU)
    assert isinstance(model, TransformersModel)
    yield model
    model.close()


def pictures(*shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    made = []
    for rows, columns in shapes:
        smooth = rng.integers(0, 256, (rows // 16 + 1, columns // 16 + 1, 3)).repeat(16, axis=0).repeat(16, axis=1)
        made.append(smooth[:rows, :columns].astype(np.uint8))
    return made


def inputs(model: TransformersModel, *shapes: tuple[int, int]) -> Any:
    how = model._preprocess
    batch = [model.prepare(pixels) for pixels in pictures(*shapes)]
    return model._bench.pixels(batch, how.scale, how.mean, how.std)


def own_processor(folder: Path, name: str) -> Any:
    import transformers

    if not hasattr(transformers, name):
        pytest.skip(f"{name} is not in this transformers")
    return getattr(transformers, name).from_pretrained(str(folder), local_files_only=True)


def test_a_batch_is_its_singles(tiny: TransformersModel) -> None:
    prepared = [tiny.prepare(each) for each in pictures((90, 160), (160, 90), (64, 64), (90, 160))]
    together = tiny.predict(prepared)
    assert ((together.scores >= 0) & (together.scores <= 1)).all()
    for index, one in enumerate(prepared):
        alone = tiny.predict([one])
        np.testing.assert_allclose(alone.scores, together.scores[index], atol=1e-4)
        if alone.evidence is None:
            assert together.evidence is None
            continue
        first, second = alone.evidence[0], together.evidence[index]
        assert first.text == second.text
        assert [box.label for box in first.boxes] == [box.label for box in second.boxes]
        for one_box, other in zip(first.boxes, second.boxes, strict=True):
            np.testing.assert_allclose(
                [one_box.x0, one_box.y0, one_box.x1, one_box.y1], [other.x0, other.y0, other.x1, other.y1], atol=1e-4
            )
        if first.mask is not None:
            assert (first.mask == second.mask).mean() > 0.999


def test_evidence_is_within_the_picture(tiny: TransformersModel) -> None:
    said = tiny.predict([tiny.prepare(each) for each in pictures((90, 160), (40, 60))]).evidence
    for each in said or ():
        assert each.boxes == tuple(sorted(each.boxes, key=lambda box: -box.score))
        for box in each.boxes:
            assert 0 <= box.x0 <= box.x1 <= 1
            assert 0 <= box.y0 <= box.y1 <= 1
        if each.mask is not None:
            assert each.mask.dtype == np.bool_
            assert max(each.mask.shape) <= 256
    json.dumps([each.as_dict() for each in said or ()])


def test_a_closed_model_says_so(tiny: TransformersModel) -> None:
    prepared = tiny.prepare(pictures((40, 40))[0])
    tiny.close()
    tiny.close()
    with pytest.raises(ModelError, match="closed; load it again"):
        tiny.predict([prepared])


@pytest.mark.parametrize("name", ["rt_detr_v2", "d_fine", "rf_detr"])
def test_detectors_decode_as_transformers_does(zoo: Path, name: str) -> None:
    processors = {"rf_detr": "RfDetrImageProcessor"}
    model = load_model(card_for(name), zoo / name, CPU)
    own = own_processor(zoo / name, processors.get(name, "RTDetrImageProcessorPil"))
    labels = model._network.config.id2label
    task = replace(model.card.task, evidence=dict.fromkeys(labels.values(), 0.5))
    model = load_model(replace(model.card, task=task), zoo / name, CPU)
    with model._bench.asked(model.card, 2):
        out = model._network.module(pixel_values=inputs(model, (90, 160), (64, 64)))
    wanted = own.post_process_object_detection(out, threshold=task.min_score)
    said = model.predict([model.prepare(each) for each in pictures((90, 160), (64, 64))]).evidence
    for one, other in zip(said, wanted, strict=True):
        assert 0 < len(one.boxes) == len(other["scores"])
        assert [box.label for box in one.boxes] == [labels[index] for index in other["labels"].tolist()]
        np.testing.assert_allclose([box.score for box in one.boxes], other["scores"].numpy(), atol=1e-5)
        places = [[box.x0, box.y0, box.x1, box.y1] for box in one.boxes]
        np.testing.assert_allclose(places, other["boxes"].clamp(0, 1).numpy(), atol=1e-5)


def test_grounding_dino_decodes_as_transformers_does(zoo: Path) -> None:
    folder = zoo / "grounding-dino"
    model = load_model(card_for("grounding-dino"), folder, CPU)
    own = own_processor(folder, "GroundingDinoProcessor")
    text = own(text=list(CONES), return_tensors="pt")
    assert text["input_ids"].tolist() == model._ask._text["input_ids"].tolist()
    with model._bench.asked(model.card, 1):
        out = model._network.module(pixel_values=inputs(model, (90, 160)), **text)
        ids = text["input_ids"][0]
        marks = ((ids == 101) | (ids == 102) | (ids == 1012)).nonzero()[:, 0]
        out.logits[:, :, marks] = -9.0  # a mark between phrases names nothing; transformers counts it all the same
    wanted = own.post_process_grounded_object_detection(out, text["input_ids"], threshold=0.3, text_threshold=0.3)[0]
    boxes = model.predict([model.prepare(pictures((90, 160))[0])]).evidence[0].boxes
    order = np.argsort(-wanted["scores"].numpy(), kind="stable")
    assert 0 < len(boxes) <= len(order)
    np.testing.assert_allclose([box.score for box in boxes], wanted["scores"].numpy()[order], atol=1e-3)
    for box, index in zip(boxes, order, strict=True):  # its phrases may be pieced together of several prompts
        assert set(box.label.replace(" ", "")) & set(wanted["text_labels"][index])


def test_sam3_decodes_as_transformers_does(zoo: Path) -> None:
    folder = zoo / "sam3"
    model = load_model(card_for("sam3", task=Find(prompts={"drum": 0.8}, min_score=0.4, masks=True)), folder, CPU)
    own = own_processor(folder, "Sam3Processor")
    text = own(text=["drum"], return_tensors="pt")
    with model._bench.asked(model.card, 1):
        out = model._network.module(pixel_values=inputs(model, (90, 160)), **text)
    wanted = own.post_process_instance_segmentation(out, threshold=0.4)[0]
    said = model.predict([model.prepare(pictures((90, 160))[0])]).evidence[0]
    assert 0 < len(said.boxes) == len(wanted["scores"])
    np.testing.assert_allclose(
        [box.score for box in said.boxes], wanted["scores"].sort(descending=True).values.numpy(), atol=1e-5
    )
    union = wanted["masks"].bool().any(dim=0).numpy()
    assert union.shape == said.mask.shape
    assert (said.mask == union).mean() > 0.999
    assert 0 < union.mean() < 1


def test_florence_is_asked_as_transformers_asks(zoo: Path) -> None:
    folder = zoo / "florence2"
    model = load_model(card_for("florence2"), folder, CPU)
    import transformers

    pictures_own = transformers.CLIPImageProcessorPil.from_pretrained(str(folder))
    pictures_own.image_seq_length = 17
    own = transformers.Florence2Processor(
        pictures_own,
        model._network.tokenizer(),
        post_processor_config={"ocr": {"pattern": None, "area_threshold": 0.0}},
    )
    for prompt in ("<DETAILED_CAPTION>", "<OCR_WITH_REGION>", "<CAPTION>", "<MORE_DETAILED_CAPTION>", "<OCR>"):
        asked = load_model(card_for("florence2", task=Tell(prompt=prompt, terms={})), folder, CPU)
        asked.predict([asked.prepare(pictures((40, 40))[0])])
        wanted = own(images=pictures((40, 40))[0], text=prompt, return_tensors="pt")["input_ids"][0].tolist()
        places = asked._ask._places[128, 128]
        assert [asked._ask._image] * places + asked._ask._start == wanted
    answer = "ROAD WORK<loc_10><loc_20><loc_300><loc_20><loc_300><loc_90><loc_10><loc_90></s>"
    said = model._ask._judge(answer)
    parsed = own.post_process_generation(answer, task="<OCR_WITH_REGION>", image_size=(10000, 10000))
    quad = np.array(parsed["<OCR_WITH_REGION>"]["quad_boxes"][0]).reshape(4, 2) / 10000
    box = said[1].boxes[0]
    assert (said[1].text, said[0]) == ("ROAD WORK", pytest.approx(0.9))
    np.testing.assert_allclose([box.x0, box.y0, box.x1, box.y1], [*quad.min(axis=0), *quad.max(axis=0)], atol=1e-4)


def test_siglip_compares_as_transformers_does(zoo: Path) -> None:
    folder = zoo / "siglip"
    model = load_model(card_for("siglip"), folder, CPU)
    words = model._network.tokenizer()(
        list(model._ask._sentences), return_tensors="pt", padding="max_length", max_length=64, truncation=True
    )
    with model._bench.asked(model.card, 1):
        pixels = inputs(model, (90, 160))
        logits = model._network.module(pixel_values=pixels, input_ids=words["input_ids"]).logits_per_image
    wanted = logits.softmax(dim=1)[0, :2].sum()
    assert model.predict([model.prepare(pictures((90, 160))[0])]).scores[0] == pytest.approx(float(wanted), abs=1e-6)


def test_depth_sees_a_box_on_a_road(zoo: Path) -> None:
    model = load_model(card_for("depth_anything"), zoo / "depth_anything", CPU)
    y, x = np.mgrid[0:70, 0:70]
    inverse = 0.02 + 0.4 * y / 70 + 0 * x
    empty = inverse.copy()
    inverse[50:60, 25:45] *= 1.5
    model._ask._network = type("Asked", (), {})()

    def score(map_: np.ndarray) -> float:
        import torch

        out = type("Out", (), {"predicted_depth": torch.from_numpy(1 / map_)[None]})
        model._ask._network.module = lambda pixel_values: out  # noqa: ARG005  # a network that sees this map
        return model._ask(None)[0][0]

    assert score(empty) == 0
    assert 0.2 < score(inverse) < 0.9


def test_roles_share_one_network(zoo: Path) -> None:
    roles = {"segment": replace(TASKS["sam3"], masks=True)}
    card = replace(card_for("sam3", task=replace(TASKS["sam3"], masks=False)), roles=roles)
    detect = load_model(card, zoo / "sam3", CPU)
    segment = load_model(card.in_role("segment"), zoo / "sam3", CPU)
    assert detect._network is segment._network
    assert detect._network.module is segment._network.module
    prepared = [detect.prepare(pictures((90, 160))[0])]
    boxes, masks = detect.predict(prepared), segment.predict(prepared)
    np.testing.assert_allclose(boxes.scores, masks.scores)
    assert boxes.evidence[0].mask is None
    assert masks.evidence[0].mask is not None
    detect.close()
    np.testing.assert_allclose(segment.predict(prepared).scores, masks.scores)  # it still has the network
    segment.close()
    gc.collect()
    assert not [key for key in engine._NETWORKS if key[0] == str((zoo / "sam3").resolve())]


def test_sam3_as_it_is_published_is_read(zoo: Path, tmp_path: Path) -> None:
    """With a tracker beside the detector, and its settings as parts of larger files."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(zoo / "sam3", tmp_path / "published")
    folder = tmp_path / "published"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "sam3_video", "detector_config": config}))
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings | {"crop_size": None}}))
    tensors = {f"detector_model.{name}": values for name, values in load_file(folder / "model.safetensors").items()}
    save_file(tensors | {"tracker_model.x": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    pixels = pictures((90, 160))[0]
    said = []
    for place in (zoo / "sam3", folder):
        model = load_model(card_for("sam3"), place, CPU)
        said.append(model.predict([model.prepare(pixels)]).evidence[0])
        model.close()
    assert said[0].boxes == said[1].boxes
    assert (said[0].mask == said[1].mask).all()


def test_what_is_missing_is_said(zoo: Path, tmp_path: Path) -> None:
    card = card_for("rt_detr_v2")
    with pytest.raises(ModelError, match=r"no config\.json in .*; wanted a folder as the model hub lays it out"):
        load_model(card, tmp_path, CPU)
    shutil.copy(zoo / "rt_detr_v2" / "config.json", tmp_path)
    with pytest.raises(ModelError, match=r"no \*\.safetensors in .*, no weights at all; get it with"):
        load_model(card, tmp_path, CPU)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin, which is pickled and never loaded"):
        load_model(card, tmp_path, CPU)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be loaded: ") as caught:
        load_model(card, tmp_path, CPU)
    assert "\n" not in str(caught.value)
    shutil.copy(zoo / "siglip" / "model.safetensors", tmp_path)
    with pytest.raises(ModelError, match=r"lack \d+ of the network's tensors, such as .*; fetch the model again"):
        load_model(card, tmp_path, CPU)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="names the architecture 'bert'; this engine runs florence2, "):
        load_model(card, tmp_path, CPU)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        load_model(card, tmp_path, CPU)


@pytest.mark.parametrize(
    ("name", "task", "sentence"),
    [
        ("rt_detr_v2", Find(prompts={"cone": 1.0}), "rt_detr_v2 does detect; its card's task is find"),
        (
            "rt_detr_v2",
            Detect(evidence={"unicorn": 1.0}),
            r"evidence names \['unicorn'\], which the network does not know",
        ),
        ("florence2", Tell(prompt="<DANCE>", terms={}), "no prompt '<DANCE>'; Florence-2 knows <CAPTION>"),
        ("grounding-dino", Find(prompts={"a. b": 1.0}), "write fewer prompts, without full stops"),
        (
            "grounding-dino",
            Find(prompts={f"cone {i}" * 5: 1.0 for i in range(20)}),
            "do not fit one line of 256 tokens",
        ),
    ],
)
def test_cards_that_ask_too_much(zoo: Path, name: str, task: Any, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        load_model(card_for(name, task=task), zoo / name, CPU)


def test_a_head_must_fit(zoo: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    shutil.copytree(zoo / "dinov3_vit", tmp_path / "dino")
    head = tmp_path / "dino" / "head.safetensors"
    head.unlink()
    with pytest.raises(ModelError, match=r"no head\.safetensors in"):
        load_model(card_for("dinov3_vit"), tmp_path / "dino", CPU)
    save_file({"head.weight": np.ones((2, 32), np.float32), "head.bias": np.zeros(2, np.float32)}, str(head))
    with pytest.raises(ModelError, match=r"want weight \(1, 32\) and bias \(1,\)"):
        load_model(card_for("dinov3_vit"), tmp_path / "dino", CPU)
    card = card_for("dinov3_vit", task=Classify())
    two = load_model(replace(card, output=replace(card.output, kind="logits")), tmp_path / "dino", CPU)
    assert two.predict([two.prepare(pictures((40, 40))[0])]).scores == pytest.approx([0.5])


def test_half_precision_goes_all_the_way_through_what_has_no_places(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    of = Workbench.of
    monkeypatch.setattr(Workbench, "of", lambda *how: replace(of(*how), dtype=torch.bfloat16))  # as on a GPU
    for name in TASKS:
        model = load_model(card_for(name), zoo / name, CPU)
        exact = ARCHITECTURES[name].places  # what computes with places stays in float32
        assert next(model._network.module.parameters()).dtype == (torch.float32 if exact else torch.bfloat16)
        scores = model.predict([model.prepare(each) for each in pictures((90, 160), (64, 64))]).scores
        assert np.isfinite(scores).all()
        model.close()


def broken(model: Model, error: Exception) -> Model:
    def ask(_: Any) -> Any:
        raise error

    model._ask = ask
    return model


def test_memory_that_runs_out_may_come_back(zoo: Path) -> None:
    import torch

    model = load_model(card_for("siglip"), zoo / "siglip", LoadOptions(device="cpu"))
    prepared = [model.prepare(pictures((40, 40))[0])]
    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(
            TransientModelError, match="out of memory on cpu with 1 pictures at once; set a smaller max_b"
        ):
            broken(model, error).predict(prepared)
    with pytest.raises(ModelError, match="model 'tiny' failed: strange") as caught:
        broken(model, RuntimeError("strange\nand long")).predict(prepared)
    assert not isinstance(caught.value, TransientModelError)
