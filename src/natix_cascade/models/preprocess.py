"""Pictures as a folder of weights wants them: what its ``preprocessor_config.json`` says, with Pillow and NumPy alone.

The hub's own image processors need torchvision for three of the architectures, and a broken torchvision breaks them
all; the arithmetic is a resize, so it is done here. Pixels stay uint8: the network's device scales them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import ModelError
from natix_cascade.spec.card import InputSpec

__all__ = ["Preprocessor", "plain_bilinear", "size_to_edges", "size_to_multiple"]

_Triple = tuple[float, float, float]
_NEAREST, _LANCZOS, _BILINEAR, _BICUBIC, _BOX, _HAMMING = range(6)  # as Pillow and the files number them
_IMAGENET: dict[str, Any] = {
    "resample": _BILINEAR,
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
}
_HALF: dict[str, Any] = {"resample": _BICUBIC, "image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
_CLIP: dict[str, Any] = {
    "resample": _BICUBIC,
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "florence2": _CLIP,
    "dinov3_vit": _IMAGENET,
    "rt_detr_v2": {**_IMAGENET, "do_normalize": False},
    "d_fine": {**_IMAGENET, "do_normalize": False},
    "rf_detr": _IMAGENET,
    "grounding-dino": {**_IMAGENET, "size": {"shortest_edge": 800, "longest_edge": 1333}},
    "sam3": {**_HALF, "resample": _BILINEAR},
    "siglip": _HALF,
    "depth_anything": _HALF,
}
"""What the architectures' own processors take where the file is silent."""
_NOT_ANTIALIASED = frozenset({"rf_detr"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessor:
    """How a picture becomes the input of a network.

    Attributes
    ----------
    size : dict
        ``height`` and ``width``, or ``shortest_edge`` and ``longest_edge``.
    multiple : int
        Sides are multiples of this.
    keep_aspect : bool
        With ``height`` and ``width``: only one of them is met, so that the aspect stays.
    resample : int
        Pillow's number of the filter.
    antialias : bool
        Whether the filter widens when it reduces.
    scale : float
        Pixels are multiplied with it, then normalised.
    mean, std : tuple of float
        Per channel.
    """

    size: dict[str, int]
    multiple: int = 1
    keep_aspect: bool = False
    resample: int = _BILINEAR
    antialias: bool = True
    scale: float = 1 / 255
    mean: _Triple = (0.0, 0.0, 0.0)
    std: _Triple = (1.0, 1.0, 1.0)

    @classmethod
    def read(cls, folder: Path, architecture: str, spec: InputSpec) -> Preprocessor:
        """Read a folder's settings; the card's input size stands in where it has none.

        Raises
        ------
        ModelError
            They cannot be read, or ask for something that no architecture here does.
        """
        given = {**_DEFAULTS.get(architecture, _IMAGENET), **_settings(folder)}
        size = given.get("size") or {"height": spec.height, "width": spec.width}
        if isinstance(size, int):
            size = {"height": size, "width": size}
        size = {key: int(value) for key, value in size.items() if value}
        if not ({"height", "width"} <= set(size) or "shortest_edge" in size) or given.get("do_center_crop"):
            raise ModelError(
                f"{folder}: pictures are fitted by {'a crop' if given.get('do_center_crop') else size}; wanted a size "
                "of height and width, or of shortest_edge, and no crop"
            )
        normalises = given.get("do_normalize", True)
        return cls(
            size=size,
            multiple=int(given.get("ensure_multiple_of") or 1),
            keep_aspect=bool(given.get("keep_aspect_ratio")),
            resample=int(given["resample"]),
            antialias=architecture not in _NOT_ANTIALIASED,
            scale=float(given.get("rescale_factor") or 1 / 255) if given.get("do_rescale", True) else 1.0,
            mean=_triple(given["image_mean"]) if normalises else (0.0, 0.0, 0.0),
            std=_triple(given["image_std"]) if normalises else (1.0, 1.0, 1.0),
        )

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One picture ``(H, W, 3)`` at the network's size, still uint8."""
        height, width = self.target(*pixels.shape[:2])
        if (height, width) == pixels.shape[:2]:
            return np.ascontiguousarray(pixels)
        if not self.antialias:
            return plain_bilinear(pixels, height, width)
        from PIL import Image  # noqa: PLC0415  # start-up does not pay for Pillow

        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.array(image.resize((width, height), Image.Resampling(self.resample)))

    def target(self, rows: int, columns: int) -> tuple[int, int]:
        """Height and width for a picture of this size."""
        if "shortest_edge" in self.size:
            return size_to_edges(rows, columns, self.size["shortest_edge"], self.size.get("longest_edge"))
        height, width = self.size["height"], self.size["width"]
        if not self.keep_aspect and self.multiple == 1:
            return height, width
        return size_to_multiple(rows, columns, height, width, keep_aspect=self.keep_aspect, multiple=self.multiple)


def size_to_edges(rows: int, columns: int, shortest: int, longest: int | None) -> tuple[int, int]:
    """Scale so that the shorter side has `shortest` pixels, or fewer where the longer would pass `longest`."""
    short, long = sorted((rows, columns))
    exact = float(shortest)
    if longest is not None and long / short * shortest > longest:
        exact = longest * short / long
    whole = round(exact)
    other = max(1, int(exact * long / short))
    return (max(1, whole), other) if rows <= columns else (other, max(1, whole))


def size_to_multiple(
    rows: int, columns: int, height: int, width: int, *, keep_aspect: bool, multiple: int
) -> tuple[int, int]:
    """Scale to a size, or by the smaller of the two changes where the aspect is kept, to multiples of `multiple`."""
    down, across = height / rows, width / columns
    if keep_aspect:
        down = across = across if abs(1 - across) < abs(1 - down) else down
    sides = (max(1, round(scale * side / multiple)) * multiple for scale, side in ((down, rows), (across, columns)))
    tall, wide = sides
    return tall, wide


def plain_bilinear(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Bilinear interpolation between the four nearest pixels, however strong the reduction is."""
    rows, columns = pixels.shape[:2]
    y = np.clip((np.arange(height) + 0.5) * rows / height - 0.5, 0, rows - 1)
    x = np.clip((np.arange(width) + 0.5) * columns / width - 0.5, 0, columns - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, rows - 1), np.minimum(left + 1, columns - 1)
    down = (y - top).astype(np.float32)[:, None, None]
    across = (x - left).astype(np.float32)[None, :, None]
    upper = pixels[top][:, left] * (1 - across) + pixels[top][:, right] * across
    lower = pixels[below][:, left] * (1 - across) + pixels[below][:, right] * across
    return np.asarray(np.rint(upper * (1 - down) + lower * down), np.uint8)


def _settings(folder: Path) -> dict[str, Any]:
    """What the folder says of its pictures: a file of its own, or a part of the processor's."""
    for name, part in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        path = folder / name
        if not path.is_file():
            continue
        try:
            read = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read: {error}; fetch the model again") from error
        found = read.get(part) if part else read
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if value is not None}
    return {}


def _triple(values: Any) -> _Triple:
    first, second, third = (float(value) for value in values)
    return first, second, third
