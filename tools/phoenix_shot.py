"""Picture of a trace in Phoenix: judges rendered street scenes, sends their traces with feedback, takes a screenshot.

Needs a Phoenix that runs (``natix-cascade observe phoenix start``), the extras traces and phoenix, Playwright, and
Debian's chromium::

    PYTHONPATH=src python tools/phoenix_shot.py --url http://127.0.0.1:6006 --out docs/images/phoenix.png
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from natix_cascade.decide.verdict import Verdict
from natix_cascade.observe.local import listener
from natix_cascade.observe.options import ObserveOptions, PhoenixOptions
from natix_cascade.run.cascade import Cascade
from natix_cascade.run.events import Event, FeedbackGiven, ScoreGiven, VerdictGiven
from natix_cascade.testing import render_scene

SCENES, SEED = 24, 900
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_S = 60.0
VIEW = {"width": 1760, "height": 800}
CLIP = {"x": 440, "y": 46, "width": 1320, "height": 754}  # the trace, without the list behind it


def main() -> None:
    """Send traces, then take the picture."""
    read = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    read.add_argument("--url", default="http://127.0.0.1:6006")
    read.add_argument("--project", default="streets")
    read.add_argument("--out", type=Path, default=Path("docs/images/phoenix.png"))
    read.add_argument("--chromium", default="/usr/bin/chromium")
    given = read.parse_args()
    trace = send(given.url, given.project)
    wait_for(given.url, given.project, trace)
    shoot(f"{given.url}/redirects/traces/{trace}", given.out, given.chromium)
    print(f"{given.out}: {given.out.stat().st_size / 1000:.0f} kB, trace {trace}")


def send(url: str, project: str) -> str:
    """Judge scenes, say what is true; returns the trace of the one that went furthest."""
    heard: dict[str, tuple[Verdict, bool]] = {}
    truths = [bool(index % 2) for index in range(SCENES)]
    options = ObserveOptions(share=1.0, phoenix=PhoenixOptions(url=url, project=project))
    with listener(options) as tell:
        told: list[VerdictGiven] = []

        def hear(event: Event) -> None:
            if isinstance(event, VerdictGiven):
                told.append(event)
            tell(event)

        with Cascade.load("embedded", listeners=[hear]) as cascade:
            cascade.warm_up()
            for index, truth in enumerate(truths):
                cascade.detect(render_scene(SEED + index, roadwork=truth).jpeg(), name=f"scene {index}")
        for event, truth in zip(told, truths, strict=True):
            if event.call is not None:
                heard[event.call.id] = event.verdict, truth
        chosen = max(heard, key=lambda name: (len(heard[name][0].levels_executed), heard[name][0].disagrees))
        for name, (verdict, truth) in heard.items():
            note = ("cones behind the lorry" if truth else "a parked lorry, no works") if name == chosen else None
            tell(FeedbackGiven(name, verdict, time.time(), truth, note))
        verdict, truth = heard[chosen]
        score, reason = (0.8, "The answer fits.") if verdict.detected == truth else (0.2, "The answer does not fit.")
        tell(ScoreGiven(chosen, "example-judge", "roadwork@1", score, reason))
    return chosen


def wait_for(url: str, project: str, trace: str) -> None:
    """Until Phoenix has both notes of a trace."""
    import httpx  # noqa: PLC0415  # an extra

    from natix_cascade.trace import TraceContext  # noqa: PLC0415

    span = TraceContext.of_request(trace).span_id
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = httpx.get(f"{url}/v1/projects/{project}/span_annotations", params={"span_ids": span})
        if found.is_success and len(found.json()["data"]) >= 2:  # noqa: PLR2004  # feedback and score
            return
        time.sleep(0.5)
    raise SystemExit("the notes have not arrived")


def shoot(url: str, out: Path, chromium: str) -> None:
    """The trace's page, as it is when all is there."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of the dev extra

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page: Any = browser.new_page(viewport=VIEW)
        page.goto(url)
        page.get_by_text("road-lite2").first.wait_for(timeout=PATIENCE_S * 1000)
        page.get_by_role("button", name="Annotations", exact=True).first.click()  # unfold them
        page.get_by_text("Table", exact=True).first.click()
        page.wait_for_timeout(2000)
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(out), clip=CLIP)
        browser.close()


if __name__ == "__main__":
    main()
