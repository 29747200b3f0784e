"""``natix-cascade detect``: verdicts for files, folders and standard input."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import (
    FAILED,
    CascadeOption,
    EndpointsOption,
    JsonOption,
    PolicyOption,
    fail,
    picture_files,
    print_json,
    printable,
)

if TYPE_CHECKING:
    from natix_cascade.decide.evidence import Evidence
    from natix_cascade.decide.verdict import Opinion, Verdict
    from natix_cascade.spec.resolved import ResolvedCascade

__all__ = ["detect"]

_MAX_STDIN = 64 * 1024 * 1024
_MOST_SHOWN, _MOST_TEXT = 6, 160


def detect(
    inputs: Annotated[list[str], typer.Argument(help="Pictures (JPEG, PNG, WebP), folders, or '-' for one on stdin.")],
    cascade: CascadeOption = "embedded",
    policy: PolicyOption = None,
    endpoints: EndpointsOption = None,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", help="Folder for pictures that show the verdict, the levels' path and a heat map."),
    ] = None,
    deadline_ms: Annotated[
        float | None, typer.Option("--deadline-ms", min=1, help="Answer within this time with what is known by then.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Judge pictures, one by one.

    With --json: one object for one file, one line (NDJSON) for each of several. Exit code 1 when a picture failed.
    """
    from natix_cascade.errors import CascadeError
    from natix_cascade.run.cascade import Cascade

    files = [Path("-")] if inputs == ["-"] else picture_files(inputs)
    if not files:
        fail(f"no pictures in {', '.join(inputs)}; wanted .jpg, .jpeg, .png or .webp files")
    if explain is not None:
        try:
            explain.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(f"no folder for explanations at {explain}: {error.strerror}")
    single = len(files) == 1 and not Path(inputs[0]).is_dir()
    failures = 0
    with Cascade.load(cascade, policy=policy, endpoints=endpoints) as loaded:
        for path in files:
            source: Any = sys.stdin.buffer.read(_MAX_STDIN) if str(path) == "-" else path
            try:
                verdict = loaded.detect(source, deadline_ms=deadline_ms, explain=explain is not None, name=str(path))
            except CascadeError as error:
                failures += 1
                _failed(path, error, json_output=json_output, lines=not single)
                continue
            shown = _explain(explain, path, source, verdict, loaded.spec) if explain else None
            if json_output:
                extra = {"explanation": str(shown)} if shown else {}
                print_json(verdict.as_dict() | extra, lines=not single)
            else:
                _print(path, verdict, loaded.spec, detailed=single, shown=shown)
    if failures:
        raise typer.Exit(FAILED)


def _failed(path: Path, error: Exception, *, json_output: bool, lines: bool) -> None:
    if json_output:
        status = getattr(error, "status", 500)
        print_json({"id": str(path), "error": str(error), "kind": type(error).__name__, "status": status}, lines=lines)
    sys.stderr.write(f"error: {path}: {error}\n")


def _print(path: Path, verdict: Verdict, spec: ResolvedCascade, *, detailed: bool, shown: Path | None) -> None:
    question = spec.question
    answer = question.positive if verdict.detected else question.negative
    mark = "YES" if verdict.detected else "no "
    late = "  DEGRADED" if verdict.degraded else ""
    typer.echo(
        f"{mark}  {answer:<10} {verdict.confidence:6.1%} sure  exit {verdict.exit_level:<10} "
        f"{verdict.latency_ms:6.1f} ms  {printable(str(path))}{late}"
    )
    if detailed:
        level = max(len(opinion.level) for opinion in verdict.opinions)
        model = max(len(opinion.model) for opinion in verdict.opinions)
        for opinion in verdict.opinions:
            who = f"{opinion.level:<{level}}  {opinion.model:<{model}}"
            typer.echo(f"     {who}  {_said(opinion)}  ({opinion.latency_ms:.1f} ms)")
            if opinion.evidence is not None:
                typer.echo(printable(f"     {'':<{level}}  saw {_saw(opinion.evidence)}"))
        for reason in verdict.reasons:
            typer.echo(f"     {reason}")
    if shown:
        typer.echo(f"     explained in {printable(str(shown))}")


def _said(opinion: Opinion) -> str:
    if opinion.probability is not None:
        return f"P = {opinion.probability:.3f}"
    return f"failed: {opinion.failure}" if opinion.failure else "no opinion"


def _saw(evidence: Evidence) -> str:
    """Evidence in one line."""
    boxes = ", ".join(f"{box.label} {box.score:.2f}" for box in evidence.boxes[:_MOST_SHOWN])
    more = f" and {len(evidence.boxes) - _MOST_SHOWN} more" if len(evidence.boxes) > _MOST_SHOWN else ""
    text = f'"{textwrap.shorten(evidence.text, _MOST_TEXT, placeholder=" ...")}"' if evidence.text else ""
    mask = f"a mask over {evidence.mask.mean():.0%} of the picture" if evidence.mask is not None else ""
    return "; ".join(part for part in (boxes + more, text, mask) if part) or "nothing"


def _explain(folder: Path, path: Path, source: Any, verdict: Verdict, spec: ResolvedCascade) -> Path:
    from natix_cascade.image import decode
    from natix_cascade.report.explain import write_explanation

    stem = "stdin" if str(path) == "-" else path.stem
    target = folder / f"{stem}-{verdict.sha256[:8]}.png"
    write_explanation(target, decode(source).pixels, verdict, cascade=spec)
    return target
