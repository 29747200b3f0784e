"""``natix-cascade demo``: a dozen rendered street scenes, one explained, and a report; no pictures needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from natix_cascade.cli.common import CascadeOption, JsonOption, print_json

__all__ = ["demo"]

_NEXT = """
What to try next
  natix-cascade detect PHOTO.jpg                     your own picture
  natix-cascade detect PHOTO.jpg --explain out       ... with the verdict drawn into it
  natix-cascade scan FOLDER --out verdicts.parquet   many pictures; go on after any interruption
  natix-cascade evaluate MANIFEST.csv --html r.html  how good is it on your labelled pictures?
  natix-cascade models list                          what looks at your pictures
  natix-cascade serve                                the same as a service, with a page for your browser
Installed in .venv: call .venv/bin/natix-cascade, or `source .venv/bin/activate` first.
"""


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures and the report.")] = Path(
        "natix-cascade-demo"
    ),
    count: Annotated[int, typer.Option(min=2, max=500, help="How many scenes.")] = 12,
    seed: Annotated[int, typer.Option(help="Of the scenes.")] = 7,
    cascade: CascadeOption = "embedded",
    json_output: JsonOption = False,
) -> None:
    """Render street scenes, judge them, explain one and write a report."""
    from natix_cascade.image import decode
    from natix_cascade.report.evaluation import evaluate
    from natix_cascade.report.explain import write_explanation
    from natix_cascade.report.html import write_html
    from natix_cascade.report.manifest import read_manifest
    from natix_cascade.run.cascade import Cascade
    from natix_cascade.run.loaded import LoadedCascade
    from natix_cascade.testing import write_scenes

    def say(text: str) -> None:
        if not json_output:
            typer.echo(text)

    manifest = write_scenes(out / "scenes", count, seed=seed)
    rows = read_manifest(manifest)
    say(f"{len(rows)} rendered street scenes (not photographs) in {manifest.parent}\n")
    verdicts = []
    with Cascade.load(cascade) as loaded:
        loaded.warm_up()
        question = loaded.spec.question
        for row in rows:
            verdict = loaded.detect(row.path, name=row.path.name, explain=True)
            verdicts.append(verdict)
            truth = question.positive if row.label else question.negative
            said = question.positive if verdict.detected else question.negative
            mark = "right" if verdict.detected == row.label else "WRONG"
            say(
                f"  {row.path.name:<16} truth {truth:<9} verdict {said:<9} {verdict.confidence:6.1%} sure   "
                f"exit {verdict.exit_level:<10}{verdict.latency_ms:6.1f} ms   {mark}"
            )
        right = sum(v.detected == row.label for v, row in zip(verdicts, rows, strict=True))
        # The most telling one: a picture with roadwork that went furthest through the levels.
        chosen = max(range(len(rows)), key=lambda i: (rows[i].label, verdicts[i].detected, len(verdicts[i].opinions)))
        picture = out / "explained.png"
        write_explanation(picture, decode(rows[chosen].path).pixels, verdicts[chosen], cascade=loaded.spec)
    say(f"\n  {right} of {len(rows)} right. The models learned from photographs: rendered scenes show that it works,")
    say("  not how good it is; the README has the figures on photographs.")
    report = out / "report.html"
    write_html(evaluate(LoadedCascade.load(cascade, threads=1), rows), report)
    say(f"\nOne verdict explained  {picture}\nThe report             {report}\n{_NEXT}")
    if json_output:
        print_json(
            {
                "right": right,
                "scenes": len(rows),
                "explained": str(picture),
                "report": str(report),
                "verdicts": [verdict.as_dict() for verdict in verdicts],
            }
        )
