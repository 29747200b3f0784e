"""The pictures that are sent, in two sizes, and what must be answered to them."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from natix_cascade.decide.verdict import Verdict
from natix_cascade.errors import CascadeError
from natix_cascade.image import Level, challenge_jpeg, decode
from natix_cascade.report.manifest import Row
from natix_cascade.report.study import without_exits
from natix_cascade.run.bulk import BulkRunner
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.library import load_cascade

__all__ = ["SIZES", "PictureSet", "lay_out"]

SIZES = ("224x224", "1280x720")
WIDE = (1280, 720)
WIDE_QUALITY = 85


@dataclass(frozen=True, slots=True)
class PictureSet:
    """The pictures of one size.

    Attributes
    ----------
    size : str
        One of `SIZES`.
    paths : list of Path
        In the order in which they are sent.
    listing : Path
        A file with a path a line.
    expected : dict
        Form ("cascade", "ensemble") to the verdicts that must come back, as plain data.
    """

    size: str
    paths: list[Path]
    listing: Path
    expected: dict[str, list[dict[str, Any]]]

    def models(self) -> list[list[str]]:
        """Which models the cascade asks about each picture, in order."""
        return [list(verdict["model_predictions"]) for verdict in self.expected["cascade"]]

    def summary(self) -> dict[str, Any]:
        """For the results."""
        bodies = [path.stat().st_size for path in self.paths]
        exits = Counter(verdict["exit_level"] for verdict in self.expected["cascade"])
        return {
            "mean_kb": sum(bodies) / len(bodies) / 1000,
            "exit_shares": {level: count / len(bodies) for level, count in exits.items()},
            "models_a_picture": sum(len(names) for names in self.models()) / len(bodies),
        }


def lay_out(folder: Path, rows: Sequence[Row]) -> tuple[list[PictureSet], Path]:
    """Write the pictures of both sizes, and the file that the bare loop reads."""
    order = list(rows)
    random.Random(0).shuffle(order)  # noqa: S311  # an order, not a secret
    resolved, weights = load_cascade()
    forms = {"cascade": resolved, "ensemble": without_exits(resolved)}
    runners = {form: BulkRunner(LoadedCascade(cascade, weights, threads=1)) for form, cascade in forms.items()}
    sets = []
    for size in SIZES:
        (folder / size).mkdir()
        paths = [folder / size / f"{number:04d}.jpg" for number in range(len(order))]
        for path, row in zip(paths, order, strict=True):
            path.write_bytes(small(row.path) if size == SIZES[0] else wide(row.path))
        listing = folder / f"{size}.txt"
        listing.write_text("".join(f"{path}\n" for path in paths), "utf-8")
        expected = {form: [_answer(runner, path) for path in paths] for form, runner in runners.items()}
        sets.append(PictureSet(size, paths, listing, expected))
    for runner in runners.values():
        runner.close()
        runner.loaded.close()
    bare = folder / "bare.json"
    bare.write_text(
        json.dumps({item.size: list(zip(map(str, item.paths), item.models(), strict=True)) for item in sets}), "utf-8"
    )
    return sets, bare


def small(source: Path) -> bytes:
    """As Subnet 72 sends it: the largest square, 224 pixels, JPEG of quality 75."""
    return challenge_jpeg(decode(source).pixels, Level.L0, seed=0)


def wide(source: Path) -> bytes:
    """As a street camera sends it: scaled by Lanczos to cover 1280 x 720, cut to that, JPEG of quality 85."""
    with Image.open(source) as file:
        image = ImageOps.fit(ImageOps.exif_transpose(file).convert("RGB"), WIDE, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=WIDE_QUALITY)
    return out.getvalue()


def _answer(runner: BulkRunner, path: Path) -> dict[str, Any]:
    picture = decode(path, short_side=runner.loaded.short_side)
    verdict: Verdict | CascadeError = runner.judge([picture])[0]
    if isinstance(verdict, CascadeError):
        raise verdict
    return verdict.as_dict()
