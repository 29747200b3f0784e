"""Write rendered scenes as a small data set: JPEG files and a manifest."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from natix_cascade.files import write_whole
from natix_cascade.testing.scenes import TIMES, WEATHERS, render_scene

__all__ = ["COLUMNS", "write_scenes"]

COLUMNS = ("path", "label", "group", "split", "quality")
"""Columns of the manifest that :func:`write_scenes` writes."""


def write_scenes(folder: Path | str, count: int, *, seed: int = 0, size: tuple[int, int] = (640, 360)) -> Path:
    """Render scenes into a folder.

    Labels take turns, so that they differ in number by at most one, and weather and time of day go round, so that 30
    scenes hold every combination of label, weather and time.

    Parameters
    ----------
    folder : pathlib.Path or str
        Where to write; made if missing. Scenes go to ``scenes/00000.jpg`` and so on.
    count : int
        How many scenes, 1 or more.
    seed : int
        Seed of the first scene; the others follow.
    size : (int, int)
        Width and height in pixels.

    Returns
    -------
    pathlib.Path
        ``manifest.csv`` in the folder, with the columns of :data:`COLUMNS`: the path relative to the folder, label 1
        for roadwork and 0 for none, one group per scene, split ``test``, quality ``A`` for roadwork and ``N`` for none.

    Raises
    ------
    ValueError
        If the count is below 1, or as :func:`render_scene` says.
    OSError
        If the folder cannot be written.
    """
    if count < 1:
        raise ValueError(f"count is {count}, wanted 1 or more")
    root = Path(folder)
    (root / "scenes").mkdir(parents=True, exist_ok=True)
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index in range(count):
        label, turn = index % 2, index // 2
        scene = render_scene(
            seed + index,
            roadwork=bool(label),
            size=size,
            weather=WEATHERS[turn % len(WEATHERS)],
            time_of_day=TIMES[turn % len(TIMES)],
        )
        name = f"scenes/{index:05d}.jpg"
        write_whole(root / name, scene.jpeg())
        writer.writerow((name, label, f"scene{seed + index:06d}", "test", "A" if label else "N"))
    manifest = root / "manifest.csv"
    write_whole(manifest, table.getvalue().encode())
    return manifest
