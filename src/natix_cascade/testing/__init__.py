"""Rendered street scenes, for the demo, for tests and for training.

Nothing here is a photograph: streets, cones, drums, barriers, machines and people are drawn, each one anew, from a
seed. The same seed gives the same bytes.

Examples
--------
>>> from natix_cascade.testing import render_scene
>>> scene = render_scene(7, roadwork=True, weather="rain")
>>> scene.label, scene.pixels.shape
(True, (360, 640, 3))
>>> len(scene.boxes) > 0
True
>>> picture = scene.jpeg(quality=85)  # bytes of a JPEG file

Paste rendered roadwork onto a photograph of a quiet street, given as RGB uint8 of shape (H, W, 3):

>>> import numpy as np
>>> from natix_cascade.testing import composite_objects
>>> photograph = np.full((360, 640, 3), 128, dtype=np.uint8)
>>> pasted, boxes = composite_objects(photograph, np.random.default_rng(1), work=True)
>>> pasted.shape == photograph.shape, len(boxes) > 0
(True, True)
"""

from __future__ import annotations

from natix_cascade.testing.boxes import Box
from natix_cascade.testing.composite import composite_objects
from natix_cascade.testing.dataset import write_scenes
from natix_cascade.testing.scenes import TIMES, WEATHERS, Scene, render_scene
from natix_cascade.testing.sprites import DISTRACTOR_KINDS, WORK_KINDS, render_object

__all__ = [
    "DISTRACTOR_KINDS",
    "TIMES",
    "WEATHERS",
    "WORK_KINDS",
    "Box",
    "Scene",
    "composite_objects",
    "render_object",
    "render_scene",
    "write_scenes",
]
