"""Take the picture of FiftyOne's App that the documentation shows, over rendered street scenes.

The scenes are judged by the embedded cascade, which finds no boxes: those in the picture are the renderer's own, and
their model is called so. The data set is made and the App served by ``natix-cascade observe fiftyone``. Run it with a
Python that has playwright (FiftyOne may live in another one)::

    python tools/fiftyone_shot.py --python FIFTYONE_PYTHON --database mongodb://127.0.0.1:27017
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.rehearse.server_process import free_port
from natix_cascade.run.cascade import Cascade
from natix_cascade.testing import TIMES, WEATHERS, Scene, render_scene

OUT = Path(__file__).parents[1] / "docs" / "images" / "fiftyone.png"
CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 120_000
SIZE = (1280, 800)
COLOURS = 200  # of the palette: small, and not seen


def main() -> None:
    """Judge, fill, serve, photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the Python that has fiftyone")
    parser.add_argument("--database", required=True, help="mongodb://...")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--count", type=int, default=48)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_verdicts(folder, options.count)
        port = free_port()
        names = ("--labels", "labels.csv", "--name", "street-scenes", "--replace", "--database", options.database)
        shown = ("--launch", "--port", str(port), "--json")
        command = [options.python, "-m", "natix_cascade", "observe", "fiftyone", "verdicts.ndjson", *names, *shown]
        source = str(Path(__file__).parents[1] / "src")
        environment = {**os.environ, "PYTHONPATH": source, "FIFTYONE_DATABASE_DIR": str(folder / "var")}
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        ) as app:
            assert app.stdout is not None  # noqa: S101  # it is a pipe
            try:
                print(app.stdout.readline().strip())
                photograph(json.loads(app.stdout.readline())["url"], options.out)
            finally:
                os.killpg(app.pid, signal.SIGINT)
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KB")


def write_verdicts(folder: Path, count: int) -> None:
    """Pictures, labels.csv and verdicts.ndjson."""
    lines, labels = [], ["path,label,split"]
    with Cascade.load() as cascade:
        for number in range(count):
            turn = number // 2
            scene = render_scene(
                900 + number, roadwork=bool(number % 2), weather=WEATHERS[turn % 5], time_of_day=TIMES[turn % 3]
            )
            path = folder / f"scene-{number:02d}.jpg"
            path.write_bytes(scene.jpeg())
            verdict = cascade.detect(path, name=path.name).as_dict()
            verdict["model_predictions"]["renderer"] = rendered(scene, verdict["exit_level"])
            lines.append(json.dumps(verdict))
            labels.append(f"{path.name},{int(scene.label)},test")
    (folder / "verdicts.ndjson").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "labels.csv").write_text("\n".join(labels) + "\n", "utf-8")


def rendered(scene: Scene, level: str) -> dict[str, Any]:
    """What the renderer knows, in the place of a detector."""
    height, width = scene.pixels.shape[:2]
    boxes = tuple(
        Box(box.kind, 1.0, box.left / width, box.top / height, box.right / width, box.bottom / height)
        for box in scene.boxes
    )
    said = {"level": level, "score": None, "probability": None, "latency_ms": 0.0, "cost_usd": 0.0, "failure": None}
    return said | ({"evidence": Evidence(boxes).as_dict()} if boxes else {})


def photograph(url: str, out: Path) -> None:
    """Open the page, wait for samples and sidebar, and write the picture as a PNG with a palette."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # --help does without it

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(QUIET), timeout=PATIENCE_MS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{url}?view=hardest", wait_until="domcontentloaded")
        page.wait_for_function("document.body.innerText.includes('ground_truth')")
        page.wait_for_function("document.querySelectorAll('canvas').length > 3")
        page.get_by_text("Dismiss").click()  # an advertisement
        time.sleep(8)  # thumbnails and labels are drawn one after the other, and nothing tells when
        whole = out.with_suffix(".whole.png")
        page.screenshot(path=whole, timeout=PATIENCE_MS)
        browser.close()
    with Image.open(whole) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(out, optimize=True)
    whole.unlink()


if __name__ == "__main__":
    main()
