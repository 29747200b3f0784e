"""Run by `test_yolo_reference.py` with the Python of an environment of its own that has ultralytics (AGPL-3.0).

Exports an untrained YOLO to ONNX with that program and suppresses boxes with it; nothing of it is imported elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import torch


def main(name: str, folder: str) -> None:
    for operator in ("nms", "qnms"):  # torchvision beside a torch for CPUs
        with contextlib.suppress(RuntimeError):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")
    import onnxruntime
    from ultralytics import YOLO
    from ultralytics.utils.nms import non_max_suppression

    place = Path(folder)
    torch.manual_seed(0)
    end_to_end = name.startswith("yolo26")
    file = YOLO(f"{name}.yaml").export(format="onnx", imgsz=64, dynamic=True, nms=False if end_to_end else None)
    Path(file).replace(place / "model.onnx")
    session = onnxruntime.InferenceSession(str(place / "model.onnx"))
    rng = np.random.default_rng(0)
    pixels = rng.random((2, 3, 64, 64), dtype=np.float32)
    raw = session.run(None, {"images": pixels})[0]
    if end_to_end:  # an untrained network is sure of nothing
        raw[:, :, 4] = -np.sort(-rng.random(raw.shape[:2]), axis=1)
    else:
        raw[:, 4:] = rng.random(raw[:, 4:].shape) ** 40
    kept = non_max_suppression(torch.from_numpy(raw), conf_thres=0.25, iou_thres=0.7, end2end=end_to_end)
    np.savez(place / "said.npz", raw=raw, **{f"kept_{index}": each.numpy() for index, each in enumerate(kept)})
    print(json.dumps({"shape": raw.shape}))  # noqa: T201  # the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
