"""Pictures per second of Qwen3-VL in vLLM on one GPU: what the front end costs, and how that cost goes away.

`vllm serve` with full-size random weights in bfloat16 answers the cascade's protocol over HTTP: chat completions with a
JPEG as data URL and one constrained answer token with log-probabilities, 256 in flight from four processes of clients,
every picture another one. Servers of one group share the GPU's memory and take turns in one run; a rate is the number
of answers in a window after a warm-up, and a gain is the ratio to the group's first server in the same run.

Beside each rate, over the same window: cores used per process, the share of time in which the GPU computed (NVML),
means of the server's own histograms, and, where py-spy is installed, the functions on the stacks of the API server and
of the engine.

`burst` is 256 questions at once, first to last; `single` one question after the other. `small` asks the processor for
a quarter of the picture's pixels (640x448) or for no enlargement (224x224). `free` leaves the answer unconstrained:
`allowed_token_ids` costs vLLM a mask over the whole vocabulary for every request. `offline` is vLLM's LLM class:
pictures handed in as PIL images, or as ready picture embeddings, which leaves neither preprocessing nor vision encoder.

Guard: a picture's answer has the same log-probability from all servers of a group, within bfloat16.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np

from gpu_client import Job, ask_once, drive, photo
from gpu_configs import MODELS, lay_out
from gpu_report import RESULTS, Report, machine
from gpu_watch import Watch, family, stacks

SIZES = ((224, 224), (448, 640))
CLIENTS = 4
INFLIGHT = 256
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_LOGGING_LEVEL": "INFO",
}
_COMMON = (
    "--load-format=dummy",
    "--seed=0",
    "--max-model-len=2048",
    "--max-num-seqs=256",
    "--max-num-batched-tokens=16384",
    "--max-logprobs=20",
    '--limit-mm-per-prompt={"image":1,"video":0}',
    "--uvicorn-log-level=warning",
)
_NO_CACHE = "--mm-processor-cache-gb=0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A way to start the server."""

    flags: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


VARIANTS: dict[str, Variant] = {
    "one": Variant(),
    "one-thread": Variant(env={"OMP_NUM_THREADS": "1"}),
    "no-cache": Variant(flags=(_NO_CACHE,)),
    "threads": Variant(flags=(_NO_CACHE, "--renderer-num-workers=8")),
    "many": Variant(flags=(_NO_CACHE, "--api-server-count=10"), env={"OMP_NUM_THREADS": "1"}),
    "many4": Variant(flags=(_NO_CACHE, "--api-server-count=4"), env={"OMP_NUM_THREADS": "1"}),
    "many-encoder-graphs": Variant(
        flags=(_NO_CACHE, "--api-server-count=10", '--compilation-config={"cudagraph_mm_encoder":true}'),
        env={"OMP_NUM_THREADS": "1"},
    ),
    "many-shared-memory": Variant(
        flags=(_NO_CACHE, "--api-server-count=10", "--mm-tensor-ipc=torch_shm"),
        env={"OMP_NUM_THREADS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"},
    ),
    "gpu-processor": Variant(
        flags=(
            _NO_CACHE,
            "--renderer-num-workers=4",
            '--mm-processor-kwargs={"device":"cuda"}',
            "--mm-tensor-ipc=torch_shm",
        ),
        env={"VLLM_WORKER_MULTIPROC_METHOD": "spawn"},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers."""

    name: str
    model: str
    port: int
    pid: int
    tokens: tuple[int, int]


def main() -> None:
    """Start the group's servers side by side, measure them in turns, stop them."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped on the way out
    if options.offline:
        _offline(Path(options.offline), json.loads(options.offline_tokens))
        return
    report = Report(options.out, __doc__, machine())
    with tempfile.TemporaryDirectory() as scratch, multiprocessing.get_context("spawn").Pool(CLIENTS) as pool:
        for group in options.groups:
            model, _, names = group.partition(":")
            if model not in MODELS or not set(names.split(",")) <= {*VARIANTS, "offline"}:
                sys.exit(f"error: {group}: want MODEL:VARIANT,... of {list(MODELS)} and {[*VARIANTS, 'offline']}")
            if time.monotonic() - _BEGAN > options.budget:
                report.add(group=group, skipped="the time for this run was used up")
                continue
            folder = Path(scratch) / model
            tokens = lay_out(folder, model)
            with _servers(model, names.split(","), folder, tokens=tokens, options=options, report=report) as servers:
                _group(servers, pool, options, report)


_BEGAN = time.monotonic()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "groups", nargs="*", help=f"MODEL:VARIANT,VARIANT... of {list(MODELS)} and {[*VARIANTS, 'offline']}"
    )
    parser.add_argument("--flags", default="", help="further flags of every server, a space between")
    parser.add_argument("--share", type=float, default=0.25, help="of the GPU's memory that a server may count on")
    parser.add_argument("--kv-gib", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=5.0, help="that are counted, for one rate")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--inflight", type=int, default=INFLIGHT)
    parser.add_argument("--parts", default="rate,burst,single,free,small,stacks")
    parser.add_argument("--ready", type=float, default=300.0, help="seconds to wait for a server")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which no group is begun")
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "gpu_vlm_logs")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu_vlm.json")
    parser.add_argument("--offline", default="", help=argparse.SUPPRESS)
    parser.add_argument("--offline-tokens", default="[]", help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def _servers(
    model: str,
    names: list[str],
    folder: Path,
    *,
    tokens: Mapping[str, int],
    options: argparse.Namespace,
    report: Report,
) -> Iterator[list[Server]]:
    options.logs.mkdir(parents=True, exist_ok=True)
    started: list[tuple[Server, subprocess.Popen[bytes], float]] = []
    offline: subprocess.Popen[bytes] | None = None
    try:
        for number, name in enumerate(names):
            port = 8200 + number
            log = options.logs / f"{model}-{name}.log"
            began = time.monotonic()
            if name == "offline":
                offline = _start_offline(folder, log, tokens, options)
                continue
            process = _start(folder, port, VARIANTS[name], log=log, model=model, options=options)
            answers = (tokens["yes"], tokens["no"])
            started.append((Server(name=name, model=model, port=port, pid=process.pid, tokens=answers), process, began))
        ready = [server for server, process, began in started if _wait(server, process, began, options, report)]
        if offline:
            _run_offline(offline, model, options, report)
        yield ready
    finally:
        for _, process, _ in started:
            _stop(process)
        if offline:
            _stop(offline)


def _start(
    folder: Path, port: int, variant: Variant, *, log: Path, model: str, options: argparse.Namespace
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(folder), f"--port={port}"]
    command += ["--host=127.0.0.1", f"--served-model-name={model}", *_COMMON, *variant.flags, *_memory(options)]
    command += options.flags.split()
    with log.open("wb") as out:
        return subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_QUIET, **variant.env},
            start_new_session=True,
        )


def _memory(options: argparse.Namespace) -> list[str]:
    return [f"--gpu-memory-utilization={options.share}", f"--kv-cache-memory-bytes={int(options.kv_gib * 2**30)}"]


def _wait(
    server: Server, process: subprocess.Popen[bytes], began: float, options: argparse.Namespace, report: Report
) -> bool:
    about = {"model": server.model, "server": server.name, "flags": VARIANTS[server.name].flags}
    while time.monotonic() - began < options.ready and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=2) as answer:
                if answer.status == 200:
                    report.add(**about, start_s=time.monotonic() - began)
                    return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.3)
    log = (options.logs / f"{server.model}-{server.name}.log").read_text(errors="replace").splitlines()
    told = [line for line in log if " ERROR " in line] or log
    report.add(**about, failed=f"not ready, exit {process.poll()}", log=[line[-300:] for line in told[-6:]])
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, 8), (signal.SIGKILL, 8)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    for child in family(process.pid):
        os.kill(child, signal.SIGKILL)


def _group(servers: list[Server], pool: Pool, options: argparse.Namespace, report: Report) -> None:
    if not servers:
        return
    parts = options.parts.split(",")
    _same_answers(servers, report)
    for height, width in SIZES:
        for server in servers:
            _load(server, pool, options, height, width, seconds=0.0)  # the first pictures of a size compile kernels
    if "rate" in parts:
        _rates(servers, pool, options, report)
    for server in servers:
        for height, width in SIZES:
            _others(server, pool, options, report, (height, width))
    if "stacks" in parts:
        for server in dict.fromkeys((servers[0], servers[-1])):
            _profile(server, pool, options, report)


def _rates(servers: list[Server], pool: Pool, options: argparse.Namespace, report: Report) -> None:
    """The servers take turns, the other way round in every other round."""
    rates: dict[tuple[str, int, int], list[float]] = {}
    for number in range(options.rounds):
        for height, width in SIZES:
            for server in servers if number % 2 == 0 else reversed(servers):
                row = _load(server, pool, options, height, width, seconds=options.seconds)
                rates.setdefault((server.name, height, width), []).append(row["pictures_per_s"])
                base = rates.get((servers[0].name, height, width), [])
                gain = statistics.median(rates[server.name, height, width]) / statistics.median(base) if base else None
                report.add(**_about(server, "rate", height, width), round=number, **row, gain=gain)


def _others(server: Server, pool: Pool, options: argparse.Namespace, report: Report, size: tuple[int, int]) -> None:
    parts, (height, width) = options.parts.split(","), size
    if "burst" in parts:
        row = _load(server, pool, options, height, width, seconds=0.0)
        report.add(**_about(server, "burst", height, width), **row)
    if "single" in parts:
        row = _load(server, pool, options, height, width, seconds=1.5, inflight=1, clients=1)
        report.add(**_about(server, "single", height, width), **row)
    if "free" in parts:
        row = _load(server, pool, options, height, width, seconds=options.seconds, extra={"allowed_token_ids": None})
        report.add(**_about(server, "free", height, width), **row)
    if "small" in parts and server.name.startswith("many"):
        pixels = {"min_pixels": 50176, "max_pixels": height * width if height == 224 else height * width // 4}
        extra = {"mm_processor_kwargs": pixels}
        row = _load(server, pool, options, height, width, seconds=options.seconds, extra=extra)
        report.add(**_about(server, "small", height, width), **row)


def _about(server: Server, what: str, height: int, width: int) -> dict[str, Any]:
    return {"model": server.model, "server": server.name, "what": what, "height": height, "width": width}


def _load(
    server: Server,
    pool: Pool,
    options: argparse.Namespace,
    height: int,
    width: int,
    *,
    seconds: float,
    inflight: int | None = None,
    clients: int = CLIENTS,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put a server under load and watch it."""
    jobs = [
        Job(
            port=server.port,
            model=server.model,
            height=height,
            width=width,
            tokens=server.tokens,
            inflight=(inflight or options.inflight) // clients,
            begin=time.time() + 0.6,
            seconds=seconds,
            warm=1.5 if seconds else 0.0,
            extra=extra or {},
        )
        for _ in range(clients)
    ]
    running = pool.map_async(drive, jobs, chunksize=1)
    time.sleep(max(jobs[0].begin + jobs[0].warm - time.time(), 0))
    with Watch(server.pid, server.port) as watch:
        if seconds:
            time.sleep(seconds)
        else:
            running.wait()
    parts = running.get()
    times = sorted(value for part in parts for value in part["ms"])
    return {
        "pictures_per_s": sum(part["counted"] for part in parts) / max(part["span"] for part in parts),
        "answers": len(times),
        "ms_median": times[len(times) // 2] if times else None,
        "ms_p95": times[int(len(times) * 0.95)] if times else None,
        "prompt_tokens": max(part["tokens"] for part in parts),
        "wrong": [text for part in parts for text in part["wrong"]][:2],
        **watch.found,
    }


def _same_answers(servers: list[Server], report: Report) -> None:
    """Ask all servers about one picture; a server that refuses is a row of its own, and ends the group."""
    jpeg = photo(np.random.default_rng(5), 224, 224)
    found = {}
    for server in servers:
        job = Job(
            port=server.port, model=server.model, height=224, width=224, tokens=server.tokens, inflight=1, begin=0.0
        )
        choice = ask_once(job, jpeg)["choices"][0]
        found[server.name] = [choice["message"]["content"], choice["logprobs"]["content"][0]["logprob"]]
    values = [value for _, value in found.values()]
    agree = bool(values) and max(values) - min(values) < 0.1
    report.add(model=servers[0].model if servers else "", what="same answers", agree=agree, answers=found)


def _profile(server: Server, pool: Pool, options: argparse.Namespace, report: Report) -> None:
    """Sample the stacks of an API server and of the engine while the server is busy."""
    names = family(server.pid)
    chosen: dict[str, int] = {}
    for pid, title in names.items():
        kind = "engine" if "EngineCore" in title else "api"
        if kind == "api" and (
            any("ApiServer" in text or "APIServer" in text for text in names.values()) and "erver" not in title
        ):
            continue
        chosen.setdefault(kind, pid)
    for kind, pid in chosen.items():
        job = Job(
            port=server.port,
            model=server.model,
            height=224,
            width=224,
            tokens=server.tokens,
            inflight=options.inflight // CLIENTS,
            begin=time.time() + 0.3,
            seconds=6.0,
            warm=0.5,
        )
        busy = pool.map_async(drive, [job] * CLIENTS, chunksize=1)
        time.sleep(1.5)
        out = options.logs / f"{server.model}-{server.name}-{kind}.folded"
        report.add(model=server.model, server=server.name, what="stacks", process=kind, found=stacks(pid, 4, out))
        busy.get()


def _start_offline(
    folder: Path, log: Path, tokens: Mapping[str, int], options: argparse.Namespace
) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--offline", str(folder), "--share", str(options.share)]
    command += ["--kv-gib", str(options.kv_gib), "--offline-tokens", json.dumps(list(tokens.values()))]
    with log.open("wb") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            env={**os.environ, **_QUIET},
            start_new_session=True,
        )


def _run_offline(process: subprocess.Popen[bytes], model: str, options: argparse.Namespace, report: Report) -> None:
    """Let it measure once all servers are up and idle; rows come as lines that begin with ROW."""
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    except OSError:
        report.add(model=model, server="offline", failed=f"exit {process.poll()}")
        return
    until = time.monotonic() + options.ready
    for line in process.stdout:
        if line.startswith(b"ROW "):
            report.add(model=model, server="offline", **json.loads(line[4:]))
        if line.startswith(b"END") or time.monotonic() > until:
            break


def _offline(folder: Path, tokens: list[int]) -> None:
    import torch
    from PIL import Image
    from vllm import LLM, SamplingParams

    from gpu_configs import QUESTION, SYSTEM

    options = _options()
    llm = LLM(
        model=str(folder),
        load_format="dummy",
        seed=0,
        max_model_len=2048,
        max_num_seqs=256,
        max_num_batched_tokens=16384,
        limit_mm_per_prompt={"image": 1, "video": 0},
        gpu_memory_utilization=options.share,
        kv_cache_memory_bytes=int(options.kv_gib * 2**30),
        mm_processor_cache_gb=0,
        enable_mm_embeds=True,
    )
    sys.stdin.readline()
    wanted = SamplingParams(max_tokens=1, temperature=0, logprobs=2, allowed_token_ids=tokens)
    text = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{QUESTION}"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    width_of = config["text_config"]["hidden_size"] * (1 + len(config["vision_config"]["deepstack_visual_indexes"]))
    rng = np.random.default_rng(1)

    def pil(height: int, width: int) -> list[Any]:
        return [Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)) for _ in range(256)]

    def ready(height: int, width: int) -> list[Any]:
        rows, columns = max(round(height / 32), 8), max(round(width / 32), 8)
        grid = torch.tensor([[1, 2 * rows, 2 * columns]])
        made = [torch.randn(rows * columns, width_of, dtype=torch.bfloat16) for _ in range(256)]
        return [{"image_embeds": one, "image_grid_thw": grid} for one in made]

    for what, make in (("pil", pil), ("embeddings", ready)):
        for height, width in SIZES:
            try:
                for _ in range(2):
                    asked = [{"prompt": text, "multi_modal_data": {"image": one}} for one in make(height, width)]
                    began = time.perf_counter()
                    llm.generate(asked, wanted, use_tqdm=False)
                    took = time.perf_counter() - began
                row = {"what": what, "height": height, "width": width, "pictures_per_s": 256 / took, "answers": 256}
            except Exception as error:  # noqa: BLE001 - an input that this release refuses is a row
                row = {
                    "what": what,
                    "height": height,
                    "width": width,
                    "failed": f"{type(error).__name__}: {str(error)[:200]}",
                }
            print("ROW " + json.dumps(row), flush=True)
    print("END", flush=True)


if __name__ == "__main__":
    main()
