"""``natix-cascade observe phoenix``: Arize Phoenix's server, data sets of hard cases, experiments with policies."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import (
    FAILED,
    CascadeOption,
    EndpointsOption,
    JsonOption,
    console,
    fail,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natix_cascade.observe.phoenix.client import Dataset, Phoenix
    from natix_cascade.observe.phoenix.examples import Shown
    from natix_cascade.observe.phoenix.trial import Trial

__all__ = ["app"]

app = typer.Typer(help="Traces, feedback and experiments in Arize Phoenix.", no_args_is_help=True)

_UrlOption = Annotated[str, typer.Option("--url", help="Where Phoenix listens.")]
_KeyOption = Annotated[
    str | None, typer.Option("--api-key", help="Reference of its key (env:NAME), where it wants one.")
]
_HERE = "http://127.0.0.1:6006"


@app.command("start")
def start(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of its SQLite file and its log.")] = Path(
        "natix-cascade-phoenix"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 6006,
    program: Annotated[
        str | None,
        typer.Option("--program", help="The phoenix of its environment. Default: NATIX_CASCADE_PHOENIX, or on PATH."),
    ] = None,
    project: Annotated[str, typer.Option("--project", help="Name of the project, made if missing.")] = "natix-cascade",
    background: Annotated[
        bool, typer.Option("--background/--foreground", help="Leave it running; its process id is told.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Start a real Phoenix server on this machine only, and wait until it answers.

    It lives in an environment of its own: python -m venv .venv-phoenix; .venv-phoenix/bin/pip install arize-phoenix.
    Web page and OTLP/HTTP share the port. Phoenix's second receiver (OTLP over gRPC) takes every address of the machine
    when Phoenix is started by hand and cannot be switched off; started here it stays on 127.0.0.1 too, on a free port.
    Telemetry, external resources and the assistant are off. Ctrl+C ends it.
    """
    from natix_cascade.cli.observe_phoenix_start import Server

    server = Server(folder, port=port, program=program, ends_with_us=not background)
    seconds = server.start()
    remark = server.make_project(project)
    if json_output:
        told = {"event": "ready", "url": server.url, "project": project, "pid": server.pid}
        print_json({**told, "seconds": round(seconds, 1), "config": server.config(project)}, lines=True)
    else:
        typer.echo(f"Phoenix on {server.url} after {seconds:.0f} s; its files lie in {folder}")
        typer.echo(f"\n{server.config(project)}\n\nin the file of `natix-cascade serve --config` sends traces there.")
        typer.echo(f"It runs on; `kill {server.pid}` ends it." if background else "Ctrl+C ends it.")
    if remark:
        sys.stderr.write(f"{remark}\n")
    sys.stdout.flush()
    if not background and not server.wait():
        fail(f"Phoenix ended by itself; see {server.log}", code=FAILED)


@app.command("dataset")
def dataset(
    name: Annotated[str, typer.Argument(help="Name of the data set; a new version where it is there already.")],
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder of a service's state: verdicts, feedback, kept pictures.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="File that `scan` wrote, or that `detect --json` printed.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Manifest (CSV with path and label) of the truth, for --results.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that the names in the results are relative to.")
    ] = None,
    hardest: Annotated[int, typer.Option("--hardest", min=1, help="How many pictures, the hardest ones.")] = 100,
    url: _UrlOption = _HERE,
    api_key: _KeyOption = None,
    json_output: JsonOption = False,
) -> None:
    """Put the hardest cases into a Phoenix data set.

    First come wrong verdicts, by feedback or labels, the surest first; then degraded ones, disputed ones and the least
    sure. Pictures themselves are not sent: an example names the file. Hard cases are no fair sample: how often a
    cascade is right on them says nothing of how often it is right.
    """
    from collections import Counter

    from natix_cascade.observe.hardest import KINDS
    from natix_cascade.observe.hardest import hardest as chosen
    from natix_cascade.observe.phoenix.examples import example

    found = chosen(_subjects(state, results, labels, root), hardest)
    if not found:
        fail(f"there are no verdicts in {state or results}")
    examples = [example(each) for each in found]
    kinds = Counter(each["metadata"]["why"] for each in examples)
    about = f"The hardest {len(examples)} cases of {state or results}: " + _listed({k: kinds[k] for k in KINDS})
    with _phoenix(url, api_key) as phoenix:
        made = phoenix.put_dataset(name, examples, about)
        shown = f"{phoenix.url}/datasets/{made.id}/examples"
    pictures = sum("picture" in each["input"] for each in examples)
    labelled = sum(bool(each["output"]) for each in examples)
    if json_output:
        told = {"dataset": name, "id": made.id, "version": made.version, "url": shown, "examples": len(examples)}
        print_json({**told, "labelled": labelled, "with_picture": pictures, **{k: kinds[k] for k in KINDS}})
    else:
        typer.echo(f"{about}\n{labelled} have a label, {pictures} a picture that is kept\n{shown}")


@app.command("experiment")
def experiment(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a data set in Phoenix.")],
    policies: Annotated[
        list[str],
        typer.Option("--policy", "-p", help="Policy by name or file; 'none' for raw scores. Give two or more."),
    ],
    cascade: CascadeOption = "embedded",
    endpoints: EndpointsOption = None,
    title: Annotated[
        str | None, typer.Option("--name", help="Begins the experiments' names. Default: the cascade's name.")
    ] = None,
    pictures: Annotated[
        list[Path] | None,
        typer.Option("--pictures", help="Folder with pictures that are not where their examples say; may be repeated."),
    ] = None,
    url: _UrlOption = _HERE,
    api_key: _KeyOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run a real cascade over a data set, once with each policy, and compare: one Phoenix experiment each.

    Each picture is judged anew, one at a time. Exit code 1 when an example could not be judged.
    """
    with _phoenix(url, api_key) as phoenix:
        found = phoenix.dataset(name)
        trials = [
            _trial(phoenix, found, cascade, policy, endpoints, title=title, folders=pictures or [])
            for policy in policies
        ]
        shown = phoenix.experiment_url(found, *(each.experiment for each in trials))
    if json_output:
        print_json({"dataset": name, "url": shown, "experiments": [each.as_dict() for each in trials]})
    else:
        _compare(trials)
        typer.echo(shown)
    if any(each.failed for each in trials):
        raise typer.Exit(FAILED)


def _subjects(state: Path | None, results: Path | None, labels: Path | None, root: Path | None) -> Iterator[Shown]:
    from natix_cascade.observe.cases import Album
    from natix_cascade.observe.phoenix.gather import of_results, of_state

    if (state is None) == (results is None):
        fail("give either --state, the folder of a service, or --results, a file of verdicts")
    if state is not None:
        if labels is not None or root is not None:
            fail("--labels and --root go with --results; in a service's state, feedback tells the truth")
        return of_state(state)
    assert results is not None  # noqa: S101  # just checked
    return of_results(results, Album([root or Path()], labels))


def _phoenix(url: str, api_key: str | None) -> Phoenix:
    from natix_cascade.observe.phoenix.client import Phoenix
    from natix_cascade.observe.secret import reveal

    return Phoenix(url, api_key=reveal(api_key))


def _trial(
    phoenix: Phoenix,
    dataset: Dataset,
    cascade: str,
    policy: str,
    endpoints: str | None,
    *,
    title: str | None,
    folders: list[Path],
) -> Trial:
    from natix_cascade.observe.phoenix.experiment import run_trial
    from natix_cascade.run.cascade import Cascade
    from natix_cascade.run.loaded import LoadedCascade

    loaded = LoadedCascade.load(cascade, policy=policy, endpoints=endpoints)
    loaded.load_all()  # no picture waits for it
    with Cascade(loaded) as ready:
        name = f"{title or ready.spec.name} {ready.spec.policy}"
        with _progress(name, len(dataset.examples)) as progress:
            return run_trial(phoenix, dataset, ready, name=name, folders=folders, on_progress=progress)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar in a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _compare(trials: list[Trial]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("policy", "n", "accuracy", "MCC", "USD", "GMACs", "ms", "exits"):
        table.add_column(
            column, justify="left" if column in {"policy", "exits"} else "right", no_wrap=column != "exits"
        )
    for each in trials:
        failed = f", {each.failed} failed" if each.failed else ""
        table.add_row(
            each.policy,
            str(each.n),
            _figure(each.accuracy),
            _figure(each.mcc),
            f"{each.cost_usd:.2g}",
            f"{each.gmacs:.3g}",
            f"{each.latency_ms:.1f}",
            _listed(each.exits) + failed,
        )
    Console(highlight=False, markup=False).print(table)
    typer.echo("n: judged and labelled; USD and GMACs: mean of a picture; ms: median, one picture at a time")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _listed(counts: dict[Any, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"
