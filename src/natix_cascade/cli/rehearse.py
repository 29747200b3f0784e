"""``natix-cascade rehearse``: the whole cascade with every true architecture at a tiny size."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natix_cascade.cli.common import FAILED, JsonOption, console, fail, picture_files, print_json
from natix_cascade.installed import is_installed

if TYPE_CHECKING:
    from natix_cascade.rehearse.rehearsal import Rehearsal

__all__ = ["rehearse"]


def rehearse(
    cascade: Annotated[str, typer.Argument(help="Shipped cascade by name, or a YAML or JSON file.")] = "dual-h100",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the tiny models and the logs; kept and used again.")
    ] = Path("rehearsal"),
    pictures: Annotated[
        list[str] | None, typer.Option("--pictures", help="Pictures or folders; default: rendered street scenes.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many rendered scenes.")] = 4,
    vllm: Annotated[
        Path | None, typer.Option("--vllm", help="The vllm program; default: the one on the PATH, if there is one.")
    ] = None,
    without_vllm: Annotated[
        bool, typer.Option("--without-vllm", help="Serve all vision-language models by transformers instead.")
    ] = False,
    outage: Annotated[
        bool, typer.Option("--outage", help="Then kill the vLLM server half-way, and start it again.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random weights and the scenes.")] = 0,
    json_output: JsonOption = False,
) -> None:
    """Run every loader, picture preparation, protocol and level for real; only the weights are tiny and random.

    Builds a tiny random-weight instance of every architecture that the cascade needs, starts real servers for the
    vision-language models, and asks every member about every picture. Exit code 1 when a member did not answer. What
    the verdicts say means nothing: the weights are random. Needs the torch extra.
    """
    missing = [name for name in ("torch", "transformers", "onnx", "fastapi") if not is_installed(name)]
    if missing:
        fail(f"a rehearsal needs {', '.join(missing)}: pip install 'natix-cascade[rehearse]'")
    from natix_cascade.rehearse.rehearsal import rehearse as play

    program = None if without_vllm else _program(vllm)
    if outage and program is None:
        fail("--outage kills the vLLM server, and there is no vllm program: name it with --vllm")
    files = picture_files(pictures or [])
    if pictures and not files:
        fail(f"no pictures in {', '.join(pictures)}; wanted .jpg, .jpeg, .png or .webp files")
    screen = console()

    def tell(text: str) -> None:
        screen.print(f"[dim]{text}[/dim]", highlight=False)

    result = play(cascade, out, files=files, scenes=count, vllm=program, outage=outage, seed=seed, tell=tell)
    if json_output:
        print_json(result.as_dict())
    else:
        _print(result)
    if not result.complete:
        raise typer.Exit(FAILED)


def _program(given: Path | None) -> Path | None:
    if given is not None:
        if not given.is_file():
            fail(f"no vllm program at {given}")
        return given
    found = shutil.which("vllm")
    return Path(found) if found else None


def _print(result: Rehearsal) -> None:
    typer.echo(f"{'level':<20}{'model':<28}{'engine':<14}{'answers':>8}{'mean P':>8}{'ms':>9}  evidence")
    for row in result.members:
        mean = f"{row.score:.3f}" if row.score is not None else "-"
        told = row.failure or row.evidence or ("silent by day" if row.silent else "")
        answers = f"{row.answers}" + (f"+{row.silent}" if row.silent else "")
        typer.echo(
            f"{row.level:<20}{row.model:<28}{row.engine:<14}{answers:>8}{mean:>8}{row.median_ms:>9.1f}  {told[:60]}"
        )
    typer.echo(
        f"\n{result.answering} of {result.models} models answered about {result.pictures} pictures in "
        f"{result.seconds:.0f} s (servers: {result.servers}). The weights are random: what they say means nothing."
    )
    if result.outage is not None:
        gone = result.outage
        back = f"after {gone.recovered_after} pictures" if gone.recovered_after >= 0 else "NOT"
        typer.echo(
            f"Outage of {', '.join(gone.models)}: {gone.degraded} of {gone.pictures} verdicts degraded, none lost; "
            f"breakers opened: {', '.join(gone.opened) or 'NONE'}; recovered {back}."
        )
