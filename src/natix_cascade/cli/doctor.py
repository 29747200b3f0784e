"""``natix-cascade doctor``: looks whether all is here that a verdict needs."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import typer

from natix_cascade.cli.common import FAILED, JsonOption, print_json
from natix_cascade.installed import is_installed

__all__ = ["doctor"]

_EXTRAS = {
    "serve": ("fastapi", "uvicorn", "uvloop", "limits", "orjson", "prometheus_client"),
    "client": ("httpx", "stamina"),
    "redis": ("redis",),
    "miner": ("bittensor",),
    "hub": ("huggingface_hub",),
    "vlm": ("httpx",),
    "vault": ("hvac",),
    "torch": ("torch", "transformers", "safetensors", "ensemble_boxes"),
    "place": ("ortools",),
    "traces": ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk", "requests"),
    "phoenix": ("phoenix.client",),
    "weave": ("weave",),
    "fiftyone": ("fiftyone",),
    "gpu-metrics": ("pynvml",),
    "train": ("torch", "onnx", "efficientnet_lite_pytorch"),
}


def doctor(json_output: JsonOption = False) -> None:  # a flag
    """Check the installation: versions, decoders, shipped models, one verdict on a rendered street scene."""
    checks: list[dict[str, Any]] = []
    for name, check in (
        ("python", _python),
        ("packages", _packages),
        ("cores", _cores),
        ("fast JPEG decoder", _decoder),
        ("shipped models", _models),
        ("cascades", _cascades),
        ("one verdict", _verdict),
        ("optional extras", _extras),
    ):
        checks.append({"check": name} | _run(check))
    if json_output:
        print_json(checks)
    else:
        for item in checks:
            typer.echo(f"{'ok  ' if item['ok'] else 'FAIL'}  {item['check']:<18} {item['says']}")
    if not all(item["ok"] for item in checks):
        raise typer.Exit(FAILED)


def _run(check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"ok": True, "says": check()}
    except Exception as error:  # noqa: BLE001  # a doctor reports whatever is wrong
        return {"ok": False, "says": f"{type(error).__name__}: {error}"}


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036  # the doctor must also speak where pip was overruled
        raise RuntimeError(f"Python {platform.python_version()}: 3.11 or newer is needed")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _packages() -> str:
    from importlib.metadata import version

    names = ("natix-cascade", "numpy", "onnxruntime", "pillow", "pydantic", "pyarrow")
    return ", ".join(f"{name} {version(name)}" for name in names)


def _cores() -> str:
    from natix_cascade.run.loaded import cores

    return f"{cores()} usable"


def _decoder() -> str:
    if not is_installed("simplejpeg"):
        raise RuntimeError("simplejpeg is missing; JPEGs are decoded by Pillow, about 1.5 times slower")
    return "simplejpeg"


def _models() -> str:
    from natix_cascade.models.engines import verify_weights
    from natix_cascade.spec.library import known_cards

    shipped = [item for item in known_cards().values() if item.card.weights is not None]
    for item in shipped:
        verify_weights(item.card, item.weights)
    return f"{len(shipped)} with the right checksums"


def _cascades() -> str:
    """Of which cascades the weights are here; that those of large ones are not is no failure."""
    from natix_cascade.models.here import weights_here
    from natix_cascade.spec.library import bundle, known_cards, models_folder

    known, folder = known_cards(), models_folder()
    ready = {name for name, item in known.items() if weights_here(item, folder).ready}
    said = []
    for name, cascade in bundle().cascades.items():
        models = {member.model.partition(":")[0] for level in cascade.levels for member in level.members}
        here = len(models & ready)
        said.append(f"{name} {'complete' if here == len(models) else f'{here} of {len(models)} models here'}")
    return ", ".join(said)


def _verdict() -> str:
    from natix_cascade.run.cascade import Cascade
    from natix_cascade.testing import render_scene

    scene = render_scene(1, roadwork=True).jpeg()
    with Cascade.load() as cascade:
        cascade.warm_up()
        began = time.perf_counter()
        verdict = cascade.detect(scene, name="rendered scene")
    took = (time.perf_counter() - began) * 1000
    return f"{'yes' if verdict else 'no'}, {verdict.confidence:.0%} sure, in {took:.0f} ms"


def _extras() -> str:
    said = []
    for extra, modules in _EXTRAS.items():
        here = all(map(is_installed, modules))
        said.append(f"{extra}: {'installed' if here else f'pip install natix-cascade[{extra}]'}")
    return ", ".join(said)
