"""``natix-cascade engines``: the servers of vision-language models: plan them, write their files, check them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import FAILED, JsonOption, fail, print_json, printable

if TYPE_CHECKING:
    from natix_cascade.engines.check import Checked, Problem
    from natix_cascade.engines.server import Command, ServerPlans
    from natix_cascade.engines.wishes import ServerOptions
    from natix_cascade.plan.place import Machine

__all__ = ["app"]

app = typer.Typer(
    help="Servers of vision-language models (vLLM, SGLang, LMDeploy): plan, render, check.", no_args_is_help=True
)


class EngineName(StrEnum):
    """What runs a server."""

    vllm = "vllm"
    sglang = "sglang"
    lmdeploy = "lmdeploy"
    lmdeploy_turbomind = "lmdeploy_turbomind"


class FormatName(StrEnum):
    """What files are written."""

    shell = "shell"
    systemd = "systemd"
    compose = "compose"
    helm = "helm"
    json = "json"


CardsOption = Annotated[Path | None, typer.Option("--cards", help="A folder of cards besides the shipped ones.")]
PLAN = "A file that `engines plan --out` wrote."


@app.command("plan")
def plan(
    cascade: Annotated[str, typer.Argument(help="Shipped cascade by name, or a YAML or JSON file.")],
    gpus: Annotated[str, typer.Option("--gpus", "-g", help="The machine, such as 2xH100-80GB, or a TOML file of it.")],
    placement: Annotated[
        Path | None,
        typer.Option(
            "--placement", help="What lies where, as `natix-cascade place --out` writes it. Default: placed here."
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="How servers are to be: YAML or JSON; options here come first.")
    ] = None,
    engine: Annotated[
        EngineName | None, typer.Option("--engine", help="Use it wherever it serves the model. Default: the card's.")
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="Folder of fetched weights. Default: servers fetch by themselves.")
    ] = None,
    adapters: Annotated[
        str | None, typer.Option("--adapters", help="Folder of linked LoRA adapters; 'none': base models answer.")
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", help="NAME=MODEL: quantised weights (AWQ, GPTQ, fp8) in place of a card's own."),
    ] = None,
    modelopt: Annotated[
        list[str] | None, typer.Option("--modelopt", help="NAME=MODEL: a checkpoint of NVIDIA's modelopt.")
    ] = None,
    kv_cache: Annotated[
        str | None, typer.Option("--kv-cache", help="Key-value cache: auto, fp8_e4m3 or fp8_e5m2.")
    ] = None,
    max_model_len: Annotated[
        int | None, typer.Option("--max-model-len", min=64, help="Tokens of one request, pictures included.")
    ] = None,
    max_num_seqs: Annotated[
        int | None, typer.Option("--max-num-seqs", min=1, help="Requests computed together.")
    ] = None,
    max_batched_tokens: Annotated[
        int | None, typer.Option("--max-batched-tokens", min=64, help="Tokens of one step: activations grow with them.")
    ] = None,
    api_processes: Annotated[
        int | None, typer.Option("--api-processes", min=1, help="Processes that prepare pictures.")
    ] = None,
    first_port: Annotated[int | None, typer.Option("--first-port", min=1024, max=65000, help="On 127.0.0.1.")] = None,
    kv_offload_gb: Annotated[
        float | None, typer.Option("--kv-offload-gb", help="Main memory for key-value blocks, GiB a server.")
    ] = None,
    encoder_data_parallel: Annotated[
        bool, typer.Option("--encoder-data-parallel", help="GPUs that share a model encode pictures each by itself.")
    ] = False,
    expert_parallel: Annotated[
        bool, typer.Option("--expert-parallel", help="Split mixtures of experts by experts.")
    ] = False,
    lmcache: Annotated[bool, typer.Option("--lmcache", help="Keep the key-value cache in LMCache too.")] = False,
    sleep: Annotated[bool, typer.Option("--sleep", help="Every server can be put to sleep.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Models whose weights bring Python code may run it.")
    ] = False,
    cards: CardsOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the plan here, for render and check.")] = None,
    endpoints: Annotated[
        Path | None, typer.Option("--endpoints", help="Write here where the cascade finds the servers (YAML).")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Turn a placement into servers: one for each base model, with all adapters on it.

    Without --placement the models are placed first (see `natix-cascade place`), at precisions that an engine makes
    while loading: bf16 and fp8.

    Example: natix-cascade engines plan dual-h100 --gpus 2xH100-80GB --out servers.json --endpoints endpoints.yaml
    """
    wishes: dict[str, Any] = {
        "engine": engine.value if engine is not None else None,
        "models": models,
        "kv_cache": kv_cache,
        "max_model_len": max_model_len,
        "max_num_seqs": max_num_seqs,
        "max_batched_tokens": max_batched_tokens,
        "api_processes": api_processes,
        "first_port": first_port,
        "kv_offload_gb": kv_offload_gb,
        "encoder_data_parallel": encoder_data_parallel or None,
        "expert_parallel": expert_parallel or None,
        "lmcache": lmcache or None,
        "sleep": sleep or None,
        "trust_remote_code": trust_remote_code or None,
    }
    wishes = {name: value for name, value in wishes.items() if value is not None}
    if adapters is not None:
        wishes["adapters"] = None if adapters == "none" else adapters
    checkpoints = _named(checkpoint, "quantized") | _named(modelopt, "modelopt")
    from natix_cascade.plan.place import read_machine

    machine = read_machine(gpus)
    options = _options(settings, wishes, checkpoints, machine)
    made = _planned(cascade, placement, machine, options, cards)
    if out is not None:
        _write(out, made)
    if endpoints is not None:
        _write_endpoints(endpoints, made, options)
    if json_output:
        from natix_cascade.engines.render import as_data

        print_json(as_data(made))
        return
    _print_plan(made)


@app.command("render")
def render(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help=PLAN)],
    kind: Annotated[FormatName, typer.Option("--format", "-f", help="What files to write.")] = FormatName.shell,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write to; made if missing. Default: print.")
    ] = None,
    programs: Annotated[
        str | None, typer.Option("--programs", help="Folder whose ENGINE/bin holds the engines' programs (systemd).")
    ] = None,
    secrets: Annotated[
        str | None, typer.Option("--secrets", help="File with keys and tokens, on the machine that serves.")
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", help="ENGINE=IMAGE:TAG in place of the pinned one (compose, helm).")
    ] = None,
    weights_root: Annotated[
        str | None, typer.Option("--weights-root", help="Folder that relative folders of weights are below.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Write what starts the servers: a shell script, systemd units, a compose file, Helm values, or JSON."""
    from natix_cascade.engines.reading import plans_of
    from natix_cascade.engines.render import RenderOptions, rendered
    from natix_cascade.files import write_whole
    from natix_cascade.spec.files import validate

    images = dict(_pair(one, "ENGINE=IMAGE:TAG") for one in image or ())
    given = {"programs": programs, "secrets": secrets, "weights_root": weights_root, "images": images or None}
    options = validate(RenderOptions, {k: v for k, v in given.items() if v is not None}, source="options")
    files = rendered(plans_of(_text(plan_file), str(plan_file)), kind.value, options)
    if out is not None:
        try:
            written = [str(write_whole(out / file.name, file.text.encode(), mode=file.mode)) for file in files]
        except OSError as error:
            fail(f"cannot write to {out}: {error.strerror or error}")
        if json_output:
            print_json({"written": written})
        else:
            typer.echo("\n".join(written))
    elif json_output:
        print_json({file.name: file.text for file in files})
    else:
        for file in files:
            head = f"# {file.name}\n" if len(files) > 1 else ""
            sys.stdout.write(printable(head + file.text))


@app.command("check")
def check(
    files: Annotated[
        list[str],
        typer.Argument(help="Plans, scripts, units, compose files, values, folders of them; '-' reads commands."),
    ],
    vllm_python: Annotated[str | None, typer.Option("--vllm-python", help="A Python that has vLLM.")] = None,
    sglang_python: Annotated[str | None, typer.Option("--sglang-python", help="A Python that has SGLang.")] = None,
    lmdeploy_python: Annotated[
        str | None, typer.Option("--lmdeploy-python", help="A Python that has LMDeploy.")
    ] = None,
    cards: CardsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check commands that start servers: flags, values, variables, and whether the engine serves the model.

    Every command is held against the stored flag list of the pinned release, and against the engine's own argument
    parser where this Python, or a named one, has the engine. Exit code 1 when something is wrong.

    Example: echo 'vllm serve Qwen/Qwen3-VL-4B-Instruct --kv-cache-dtyp fp8' | natix-cascade engines check -
    """
    from natix_cascade.engines.asking import own_python
    from natix_cascade.engines.check import check_commands
    from natix_cascade.spec.library import known_cards

    commands, more = _read(files)
    named = {"vllm": vllm_python, "sglang": sglang_python, "lmdeploy": lmdeploy_python}
    pythons = {package: python for package, given in named.items() if (python := given or own_python(package))}
    known = {name: item.card for name, item in known_cards(cards).items()}
    found = check_commands(commands, cards=known, pythons=pythons)
    told = {problem.server for problem in found.problems}
    problems = (*found.problems, *(one for one in more if not one.server or one.server not in told))
    if not found.commands and not problems:
        fail(f"no command of vLLM, SGLang or LMDeploy in {', '.join(files)}; give `vllm serve MODEL ...` or the like")
    _print_check(found, problems, as_json=json_output)
    if problems:
        raise typer.Exit(FAILED)


def _named(pairs: list[str] | None, weights: str) -> dict[str, dict[str, str]]:
    split = (_pair(one, "NAME=MODEL") for one in pairs or ())
    return {name: {"model": model, "weights": weights} for name, model in split}


def _pair(text: str, wanted: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        fail(f"{text!r}: wanted {wanted}")
    return name, value


def _options(
    settings: Path | None, wishes: dict[str, Any], checkpoints: dict[str, dict[str, str]], machine: Machine
) -> ServerOptions:
    from natix_cascade.engines.wishes import ServerOptions
    from natix_cascade.spec.files import read_spec, validate
    from natix_cascade.spec.parse import parse

    base: dict[str, Any] = {}
    if settings is not None:
        read_spec(settings, ServerOptions)  # names file and line of what is wrong in it
        base = dict(parse(settings).data)
    if checkpoints:
        wishes = {**wishes, "checkpoints": {**base.get("checkpoints", {}), **checkpoints}}
    least = min((gpu.memory for gpu in machine.gpus), default=0) / 1e9
    return validate(ServerOptions, {"gpu_gb": least, **base, **wishes}, source="options")


def _planned(
    cascade: str, placement: Path | None, machine: Machine, options: ServerOptions, cards: Path | None
) -> ServerPlans:
    from natix_cascade.engines.planning import remarks_on, servers
    from natix_cascade.engines.server import ServerPlans
    from natix_cascade.engines.wishes import Placement
    from natix_cascade.plan.place import Wish, place
    from natix_cascade.spec.files import read_spec, validate
    from natix_cascade.spec.library import load_cascade

    resolved, _ = load_cascade(cascade, policy="none", cards=cards)
    if placement is None:
        wish = Wish(
            concurrency=options.max_num_seqs, batched_tokens=options.max_batched_tokens, precisions=("bf16", "fp8")
        )
        made_here = place(resolved, machine, wish)
        placed = validate(Placement, made_here.servers(), source="placement").placed
    else:
        placed = read_spec(placement, Placement).placed
    beyond = [item.model for item in placed if max(item.gpus) >= len(machine.gpus)]
    if beyond:
        fail(f"{placement}: {', '.join(beyond)}: on a GPU that {machine.name} has not; they count from 0")
    made = servers(resolved.cards, placed, options)
    notes = remarks_on(made, resolved.models, resolved.cards, options)
    return ServerPlans(cascade=resolved.name, machine=machine.name, servers=tuple(made), notes=tuple(notes))


def _write(out: Path, made: ServerPlans) -> None:
    from natix_cascade.engines.render import rendered
    from natix_cascade.files import write_whole

    try:
        write_whole(out, rendered(made, "json")[0].text.encode())
    except OSError as error:
        fail(f"cannot write {out}: {error.strerror or error}")


def _write_endpoints(path: Path, made: ServerPlans, options: ServerOptions) -> None:
    import yaml

    from natix_cascade.engines.planning import endpoints
    from natix_cascade.files import write_whole
    from natix_cascade.spec.build import plain

    data = plain(endpoints(made.servers, api_key_env=options.api_key_env))
    try:
        write_whole(path, yaml.safe_dump(data, sort_keys=False).encode())
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror or error}")


def _print_plan(made: ServerPlans) -> None:
    from natix_cascade.engines.facts import TITLES

    typer.echo(f"{'server':<28}{'engine':<22}{'GPUs':<8}{'weights':<9}{'share':>6}{'port':>7}  answers for")
    for one in made.servers:
        where = "+".join(map(str, one.gpus))
        state = " (asleep)" if one.asleep else ""
        typer.echo(
            f"{one.name:<28}{TITLES[one.engine]:<22}{where:<8}{one.precision:<9}{one.memory_fraction:>6.0%}"
            f"{one.port:>7}  {', '.join(one.cards)}{state}"
        )
    for note in made.notes:
        typer.echo(f"note: {note}")


def _read(files: list[str]) -> tuple[list[Command], list[Problem]]:
    """Commands of all files, and what is wrong in them besides."""
    from natix_cascade.engines.check import Problem
    from natix_cascade.engines.faults import faults
    from natix_cascade.engines.reading import commands_of, old_requests, plans_of

    commands: list[Command] = []
    problems: list[Problem] = []
    for source, text in _texts(files):
        commands += commands_of(text, source)
        problems += old_requests(text, source)
        if source.endswith(".json"):
            planned = plans_of(text, source).servers
            problems += [
                Problem(f"{source}: {one.name}", one.name, "", says) for one in planned for says in faults(one)
            ]
    return commands, problems


def _texts(files: list[str]) -> list[tuple[str, str]]:
    found = []
    for name in files:
        path = Path(name)
        if name == "-":
            found.append(("standard input", sys.stdin.read()))
        elif path.is_dir():
            kinds = {".sh", ".service", ".yaml", ".yml", ".json"}
            inside = sorted(one for one in path.iterdir() if one.suffix in kinds and one.is_file())
            found += [(str(one), _text(one)) for one in inside]
        else:
            found.append((name, _text(path)))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}")


def _print_check(found: Checked, problems: tuple[Problem, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ok": not problems,
                "commands": found.commands,
                "judges": found.judges,
                "problems": [
                    {"source": one.source, "server": one.server, "flag": one.flag, "says": one.says} for one in problems
                ],
            }
        )
        return
    for one in dict.fromkeys(problems):
        typer.echo(": ".join(part for part in (one.source, one.flag, one.says) if part))
    for package, number in found.commands.items():
        commands = "command" if number == 1 else "commands"
        typer.echo(f"{number} {commands} held against the {found.judges[package]}", err=True)
    if not problems:
        typer.echo("all is well")
