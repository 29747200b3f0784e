"""Decoding against ultralytics, which is only ever run as a program of its own: set NATIX_ULTRALYTICS_PYTHON."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from natix_cascade.models import LoadOptions
from natix_cascade.models.boxes import decode_end_to_end, decode_yolo
from natix_cascade.models.onnx import OnnxModel
from natix_cascade.spec.card import InputSpec, ModelCard, OutputSpec
from natix_cascade.spec.task import Detect

PYTHON = os.environ.get("NATIX_ULTRALYTICS_PYTHON", "")
ANCHORS = 8 * 8 + 4 * 4 + 2 * 2  # of 64 pixels a side

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="NATIX_ULTRALYTICS_PYTHON names no Python that has ultralytics"),
]


@pytest.mark.parametrize(("name", "layout"), [("yolo11n", "yolo"), ("yolo26n", "yolo_end_to_end")])
def test_what_the_program_exports_is_read_as_it_reads_it(name: str, layout: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("yolo_reference.py")
    environment = {**os.environ, "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(tmp_path), "PYTHONPATH": ""}
    done = subprocess.run(
        [PYTHON, str(script), name, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shape = json.loads(done.stdout.splitlines()[-1])["shape"]
    assert shape == ([2, 84, ANCHORS] if layout == "yolo" else [2, ANCHORS, 6])
    with np.load(tmp_path / "said.npz") as said:
        raw, kept = said["raw"], [said["kept_0"], said["kept_1"]]
    for one, wanted in zip(raw, kept, strict=True):
        found = (decode_yolo if layout == "yolo" else decode_end_to_end)(one, min_score=0.25)
        assert 0 < len(found) == len(wanted)
        np.testing.assert_allclose(found.corners, wanted[:, :4], atol=1e-3)
        np.testing.assert_allclose(found.scores, wanted[:, 4], atol=1e-6)
        np.testing.assert_array_equal(found.labels, wanted[:, 5])
    labels = tuple(f"label {index}" for index in range(80))
    card = ModelCard(
        name=name,
        licence="AGPL-3.0",
        input=InputSpec(name="images", height=64, width=64, layout="NCHW", dtype="float32", fit="pad"),
        output=OutputSpec(name="output0"),
        task=Detect(labels=labels, evidence={"label 3": 1.0}, layout=layout, min_score=0.0, low=0.0, high=1.0),  # type: ignore[arg-type]
    )
    model = OnnxModel(card, tmp_path, LoadOptions())
    pixels = np.random.default_rng(1).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    assert 0 <= model.predict([model.prepare(pixels)] * 3).scores[0] <= 1
    model.close()
