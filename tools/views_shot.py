"""Take the pictures of the five views in docs/images: a real service, rendered scenes sent to it, a real browser."""

from __future__ import annotations

import argparse
import csv
import io
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
from PIL import Image, ImageChops
from playwright.sync_api import Page, sync_playwright

from natix_cascade.files import write_whole
from natix_cascade.testing import write_scenes

ROOT = Path(__file__).parents[1]
CHROMIUM = "/usr/bin/chromium"
FILES = {"overview": ("overview", "models"), "quality": ("quality",), "cost": ("cost", "gpus")}
_SCENES, _SEED = 120, 7_000_000
_TOLD = 0.3  # share of the verdicts whose truth is told
_GAP, _EDGE = 48, 32  # px
_SCALE = 1.5
_COLOURS = 128
_MOST_BYTES = 250_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Start, send for some minutes, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=11.0, help="of pictures; drift needs more than twice the window of 5"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    given = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    from browser_world import Service, free_port  # noqa: PLC0415  # the service that the tests of the page start

    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "state", free_port())
        try:
            service.start()
            send(service.url, Path(folder), given.minutes * 60)
            for name, image in shots(service.url):
                write_whole(given.out / f"views-{name}.png", image)
        finally:
            service.stop()


def send(url: str, folder: Path, seconds: float) -> None:
    """Send scenes in waves, and tell the truth of some."""
    manifest = write_scenes(folder, _SCENES, seed=_SEED)
    with manifest.open(newline="") as table:
        scenes = [((folder / row["path"]).read_bytes(), row["label"] == "1") for row in csv.DictReader(table)]
    draw, begun = random.Random(_SEED), time.monotonic()  # noqa: S311  # no secret
    with httpx.Client(base_url=url, timeout=60) as client:
        while (passed := time.monotonic() - begun) < seconds:
            picture, label = draw.choice(scenes)
            verdict = client.post("/v1/infer", content=picture).raise_for_status().json()
            if draw.random() < _TOLD:
                told = {"verdict_id": verdict["verdict_id"], "label": label}
                client.post("/v1/feedback", json=told).raise_for_status()
            if draw.random() < 1 / 200:
                client.post("/v1/infer", content=picture[:2000])  # a broken file now and then
            time.sleep(draw.expovariate(1.9 + 1.4 * math.sin(passed / 50)))


def shots(url: str) -> Iterator[tuple[str, bytes]]:
    """Names of files and their PNGs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": 1180, "height": 900}, device_scale_factor=_SCALE, reduced_motion="reduce"
        )
        for name, views in FILES.items():
            yield name, stacked([shot(page, url, view) for view in views])
        browser.close()


def shot(page: Page, url: str, view: str) -> Image.Image:
    """One view without the empty space below it."""
    page.goto("about:blank")
    with page.expect_response("**/v1/views*"):
        page.goto(f"{url}/#views/{view}/5")
    page.locator("#levels .level").first.wait_for()
    page.locator(f"#view-{view} :visible").first.wait_for()
    image = Image.open(io.BytesIO(page.locator("#views").screenshot())).convert("RGB")
    image = image.crop((0, round(4 * _SCALE), *image.size))  # without the line above
    empty = Image.new("RGB", image.size, image.getpixel((0, 0)))
    box = ImageChops.difference(image, empty).getbbox() or (0, 0, *image.size)
    return image.crop((0, 0, image.width, box[3]))


def stacked(images: Sequence[Image.Image]) -> bytes:
    """One below the other, as a small PNG."""
    edge, gap = round(_EDGE * _SCALE), round(_GAP * _SCALE)
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    whole = Image.new("RGB", (images[0].width + 2 * edge, height + 2 * edge), "white")
    y = edge
    for image in images:
        whole.paste(image, (edge, y))
        y += image.height + gap
    out = io.BytesIO()
    whole.quantize(_COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    if out.tell() > _MOST_BYTES:
        raise SystemExit(f"a picture has {out.tell():,} bytes, wanted at most {_MOST_BYTES:,}: lower the scale")
    return out.getvalue()


if __name__ == "__main__":
    main()
