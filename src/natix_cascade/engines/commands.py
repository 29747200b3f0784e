"""The command of a server, by its engine."""

from __future__ import annotations

from dataclasses import replace

from natix_cascade.engines import lmdeploy, sglang, vllm
from natix_cascade.engines.server import Command, ServerPlan

__all__ = ["HEALTH", "command", "sleep_request"]

HEALTH = "/health"
"""Path that answers 200 once the model is loaded; the same for all three."""

_MAKERS = {
    "vllm": vllm.command,
    "sglang": sglang.command,
    "lmdeploy": lmdeploy.command,
    "lmdeploy_turbomind": lmdeploy.command,
}


def command(plan: ServerPlan, *, contained: bool = False) -> Command:
    """The command that starts a server.

    Parameters
    ----------
    plan : ServerPlan
        What is to be served.
    contained : bool
        For a container: it listens on its own network, and sees only the GPUs that it was given. Otherwise it
        listens on 127.0.0.1 and is shown its GPUs by ``CUDA_VISIBLE_DEVICES``.
    """
    made = _MAKERS[plan.engine](plan, "0.0.0.0" if contained else "127.0.0.1")  # noqa: S104  # published on loopback
    own = (
        {} if contained else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, plan.gpus))}
    )
    offline = {"HF_HUB_OFFLINE": "1"} if _is_folder(plan.model) else {}
    return replace(made, environment={"HF_HUB_DISABLE_TELEMETRY": "1"} | offline | own | made.environment)


def sleep_request(plan: ServerPlan) -> tuple[str, str] | None:
    """Path and JSON body of the POST that puts a server to sleep; None where it cannot."""
    if not plan.sleep:
        return None
    return ("/release_memory_occupation", "{}") if plan.engine == "sglang" else ("/sleep?level=1", "{}")


def _is_folder(model: str) -> bool:
    return model.startswith(("/", "./", "../", "models/")) or model.count("/") > 1
