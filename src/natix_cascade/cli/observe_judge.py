"""``natix-cascade observe judge``: what the judge said, and one question to try it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import FAILED, JsonOption, fail, print_json, printable

if TYPE_CHECKING:
    from natix_cascade.decide.verdict import Verdict
    from natix_cascade.observe.judge.asking import Judge, Judgement
    from natix_cascade.observe.judge.rubric import Rubric

__all__ = ["app"]

app = typer.Typer(help="A vision-language model as judge of verdicts.", no_args_is_help=True)

_DAY_S = 86_400


@app.command("report")
def report(
    state: Annotated[Path, typer.Option("--state", help="Folder of the service's state.")] = Path(
        "natix-cascade-state"
    ),
    days: Annotated[float | None, typer.Option("--days", min=0, help="Only the last days. Default: all.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Scores by day, the last ones, agreement with people, and what it cost.

    Example: natix-cascade observe judge report --state natix-cascade-state
    """
    from natix_cascade.observe.judge.journal import read_rows, read_skipped
    from natix_cascade.observe.judge.report import lines
    from natix_cascade.observe.judge.report import report as figures

    since = 0.0 if days is None else time.time() - days * _DAY_S
    told = figures(read_rows(state, since=since), read_skipped(state, since=since))
    if json_output:
        print_json(told)
        return
    for line in lines(told):
        typer.echo(printable(line))


@app.command("try")
def try_once(
    picture: Annotated[Path, typer.Argument(help="A picture (JPEG, PNG, WebP).")],
    endpoint: Annotated[str, typer.Option("--endpoint", help="URL of the judge's server, up to and with /v1.")],
    model: Annotated[str, typer.Option("--model", help="The name by which the server knows the judge.")],
    verdict: Annotated[
        str | None,
        typer.Option(
            "--verdict",
            help="What is judged: yes, no, or a JSON file of `detect --json`. Default: what the embedded cascade says.",
        ),
    ] = None,
    rubric: Annotated[str, typer.Option("--rubric", help="A shipped rubric, or a YAML file.")] = "roadwork",
    key: Annotated[
        str | None,
        typer.Option("--key", help="Where the server's key is kept: env:NAME, file:PATH or vault:PATH#KEY."),
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0.1, help="Longest wait for one answer.")] = 60.0,
    json_output: JsonOption = False,
) -> None:
    """Ask the judge once about one picture. Exit code 1 when there was no usable answer.

    Example: natix-cascade observe judge try street.jpg --endpoint http://127.0.0.1:8001/v1 --model Qwen3-VL-32B
    """
    from natix_cascade.image import Limits
    from natix_cascade.models.loop import LoopThread
    from natix_cascade.observe.judge.asking import Judge
    from natix_cascade.observe.judge.rubric import load_rubric
    from natix_cascade.observe.options import JudgeOptions
    from natix_cascade.observe.shown import as_shown
    from natix_cascade.spec.endpoints import Endpoint

    found = load_rubric(rubric)
    shown = as_shown(picture, Limits())
    judged = _verdict(verdict, picture, found)
    where = Endpoint(url=endpoint, model=model, api_key=key, timeout_s=timeout_s)
    judge = Judge(JudgeOptions(endpoint=where, rubric=rubric), found)
    loop = LoopThread("natix-judge")
    try:
        _tell(found, judge, judged, *loop.run(_asked(judge, judged, shown)), json_output=json_output)
    finally:
        loop.close(judge.close)


async def _asked(judge: Judge, verdict: Verdict, shown: bytes) -> tuple[Judgement, int]:
    """One judgement, and the size of the last request in bytes."""
    sizes = [0]
    judgement = await judge.score(
        verdict, shown, _Rich(), said=lambda request: sizes.append(len(json.dumps(request).encode()))
    )
    return judgement, sizes[-1]


class _Rich:
    """Pays for whatever it is asked."""

    def take(self, _usd: float) -> bool:
        return True

    def settle(self, taken: float, actual: float) -> None:
        """Nothing is counted."""


def _tell(
    rubric: Rubric, judge: Judge, verdict: Verdict, judgement: Judgement, size: int, *, json_output: bool
) -> None:
    answer = rubric.yes if verdict.detected else rubric.no
    if json_output:
        print_json(
            {
                "answer": answer,
                "score": judgement.score,
                "abstained": judgement.score is None and judgement.failure is None,
                "reason": judgement.reason,
                "failure": judgement.failure,
                "judge": judge.model,
                "rubric": rubric.title,
                "digest": rubric.digest,
                "form": judgement.form,
                "requests": judgement.requests,
                "request_bytes": size,
                "latency_ms": round(judgement.latency_ms, 1),
            }
        )
    else:
        times = "request" if judgement.requests == 1 else "requests"
        sure = f" ({verdict.confidence:.1%} sure)" if verdict.opinions else ""
        typer.echo(f"verdict    {answer}{sure}")
        typer.echo(f"judge      {printable(judge.model)} by {rubric.title} ({rubric.digest})")
        typer.echo(
            f"asked      {judgement.requests} {times}, the last as {judgement.form} with {size / 1024:.0f} KiB, "
            f"{judgement.latency_ms / 1000:.1f} s"
        )
        if judgement.failure is None:
            score = "it abstained" if judgement.score is None else f"{judgement.score:.2f} (1: certainly right)"
            typer.echo(f"score      {score}")
            typer.echo(printable(f"reason     {judgement.reason} (written by the model)"))
    if judgement.failure is not None:
        fail(judgement.failure, code=FAILED)


def _verdict(given: str | None, picture: Path, rubric: Rubric) -> Verdict:
    """What is to be judged."""
    if given is None:
        from natix_cascade.run.cascade import Cascade

        with Cascade.load("embedded") as cascade:
            found = cascade.detect(picture)
    elif given in {"yes", "no"}:
        return _bare(picture, rubric, yes=given == "yes")
    else:
        found = _read(Path(given))
    if found.question != rubric.about:
        fail(f"the verdict is about {found.question!r}, the rubric {rubric.title} about {rubric.about!r}")
    return found


def _read(path: Path) -> Verdict:
    from natix_cascade.decide.verdict import Verdict

    try:
        data: Any = json.loads(path.read_text("utf-8"))
        return Verdict.from_dict(data)
    except OSError as error:
        fail(f"--verdict {path}: write yes, no, or a file that can be read ({error.strerror})")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fail(f"{path} is no verdict as `detect --json` writes it: {type(error).__name__}: {error}")


def _bare(picture: Path, rubric: Rubric, *, yes: bool) -> Verdict:
    """A verdict that nobody has given reasons for."""
    from natix_cascade.decide.verdict import Verdict

    return Verdict(
        id=str(picture),
        sha256="",
        question=rubric.about,
        detected=yes,
        probability=float(yes),
        confidence=1.0,
        consensus_ratio=1.0,
        exit_level="",
        levels_executed=(),
        opinions=(),
        latency_ms=0.0,
        cost_usd=0.0,
        gmacs=0.0,
        degraded=False,
        reasons=(),
        cascade="",
        policy="",
    )
