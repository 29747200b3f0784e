"""Rendered street scenes, for the demo, for tests and for training; and scripted models, for tests of cascades.

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

A cascade of models that say what they are told to (see `natix_cascade.testing.models`):

>>> from natix_cascade.testing import ScriptedModel, scripted_cascade
>>> cheap, dear = ScriptedModel("cheap", 0.6), ScriptedModel("dear", 0.99)
>>> resolved, models = scripted_cascade([cheap, dear])
>>> resolved.models
('cheap', 'dear')
"""

from __future__ import annotations

from natix_cascade.testing.boxes import Box
from natix_cascade.testing.composite import composite_objects
from natix_cascade.testing.dataset import write_scenes
from natix_cascade.testing.models import (
    ScriptedLevel,
    ScriptedModel,
    make_card,
    pixels_digest,
    scripted_cascade,
)
from natix_cascade.testing.scenes import TIMES, WEATHERS, Scene, render_scene
from natix_cascade.testing.sprites import DISTRACTOR_KINDS, WORK_KINDS, render_object

__all__ = [
    "DISTRACTOR_KINDS",
    "TIMES",
    "WEATHERS",
    "WORK_KINDS",
    "Box",
    "Scene",
    "ScriptedLevel",
    "ScriptedModel",
    "composite_objects",
    "make_card",
    "pixels_digest",
    "render_object",
    "render_scene",
    "scripted_cascade",
    "write_scenes",
]
