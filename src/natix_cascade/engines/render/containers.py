"""Servers in containers: services of a compose file, and values of a Helm chart."""

from __future__ import annotations

from typing import Any

from natix_cascade.engines.commands import HEALTH, command, sleep_request
from natix_cascade.engines.render.wishes import RenderOptions, earlier_neighbours, image_of, remarks
from natix_cascade.engines.server import ServerPlan, ServerPlans

__all__ = ["compose", "helm"]

_HUB_CACHE = "/hub-cache"  # in the container: a volume that all servers share


def compose(plans: ServerPlans, options: RenderOptions) -> str:
    """A compose file: one service a server, and one that puts a server to sleep where that is planned.

    Servers that share a GPU wait for each other; ports are published on 127.0.0.1 alone.
    """
    services: dict[str, Any] = {}
    for plan in plans.servers:
        services[plan.name] = _service(plan, plans, options)
        if plan.asleep:
            services[f"{plan.name}-sleep"] = _sleeper(plan, options)
    data = {"name": "natix-engines", "services": services, "volumes": {"hub-cache": {}}}
    return _written(data, plans)


def helm(plans: ServerPlans, options: RenderOptions) -> str:
    """Values for a chart with one Deployment and one Service an entry of ``servers``."""
    entries = [_entry(plan, options) for plan in plans.servers]
    shared = sorted({one.name for one in plans.servers if earlier_neighbours(plans, one)})
    more = (
        [f"{', '.join(shared)}: shares a GPU; Kubernetes gives whole ones, so split them (MIG, MPS) or place anew."]
        if shared
        else []
    )
    return _written({"secretName": "natix-engines", "servers": entries}, plans, *more)


def _service(plan: ServerPlan, plans: ServerPlans, options: RenderOptions) -> dict[str, Any]:
    made = command(plan, contained=True)
    device = {"driver": "nvidia", "device_ids": [str(gpu) for gpu in plan.gpus], "capabilities": ["gpu"]}
    service: dict[str, Any] = {
        "image": image_of(plan, options),
        "entrypoint": [made.words[0]],
        "command": [_escaped(word) for word in made.words[1:]],
        "environment": {**made.environment, "HF_HOME": _HUB_CACHE},
        "env_file": [{"path": options.secrets, "required": False}],
        "ports": [f"127.0.0.1:{plan.port}:{plan.port}"],
        "volumes": [f"hub-cache:{_HUB_CACHE}", *_folders(plan, options)],
        "working_dir": options.weights_root,
        "shm_size": "16gb",
        "ulimits": {"memlock": -1},
        "security_opt": ["no-new-privileges:true"],
        "cap_drop": ["ALL"],
        "deploy": {"resources": {"reservations": {"devices": [device]}}},
        "healthcheck": {
            "test": ["CMD", "python3", "-c", _get(plan)],
            "interval": "10s",
            "timeout": "8s",
            "retries": 3,
            "start_period": f"{options.ready_s}s",
        },
        "restart": "unless-stopped",
    }
    before = {
        f"{one.name}-sleep" if one.asleep else one.name: {
            "condition": "service_completed_successfully" if one.asleep else "service_healthy"
        }
        for one in earlier_neighbours(plans, plan)
    }
    return service | ({"depends_on": before} if before else {})


def _sleeper(plan: ServerPlan, options: RenderOptions) -> dict[str, Any]:
    return {
        "image": image_of(plan, options),
        "entrypoint": ["python3"],
        "command": ["-c", _escaped(_post(plan, plan.name))],
        "depends_on": {plan.name: {"condition": "service_healthy"}},
        "restart": "no",
    }


def _entry(plan: ServerPlan, options: RenderOptions) -> dict[str, Any]:
    made = command(plan, contained=True)
    repository, _, tag = image_of(plan, options).rpartition(":")
    probe = {"httpGet": {"path": HEALTH, "port": "http"}, "timeoutSeconds": 8, "periodSeconds": 10}
    entry: dict[str, Any] = {
        "name": plan.name,
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "command": [made.words[0]],
        "args": list(made.words[1:]),
        "env": [{"name": key, "value": value} for key, value in made.environment.items()],
        "ports": [{"name": "http", "containerPort": plan.port}],
        "resources": {"limits": {"nvidia.com/gpu": len(plan.gpus)}},
        "startupProbe": probe | {"failureThreshold": max(1, options.ready_s // 10)},
        "readinessProbe": probe | {"failureThreshold": 3},
        "livenessProbe": probe | {"failureThreshold": 6},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "sharedMemory": "16Gi",
        "weights": {"readOnly": True, "mountPath": options.weights_root},
    }
    if plan.asleep:
        entry["lifecycle"] = {"postStart": {"exec": {"command": ["python3", "-c", _post(plan, "127.0.0.1")]}}}
    return entry


def _folders(plan: ServerPlan, options: RenderOptions) -> list[str]:
    """Weights and adapters on disk, which a container may read and not change."""
    paths = [lora.path for lora in plan.loras]
    paths += [plan.model] if plan.model.startswith(("/", ".", "models/")) else []
    above = {path for path in paths if path.startswith("/")}
    return ([f"{options.weights_root}:{options.weights_root}:ro"] if len(above) < len(paths) else []) + [
        f"{path}:{path}:ro" for path in sorted(above)
    ]


def _get(plan: ServerPlan) -> str:
    return f"import urllib.request as r; r.urlopen('http://127.0.0.1:{plan.port}{HEALTH}', timeout=5)"


def _post(plan: ServerPlan, host: str) -> str:
    """Python that waits for a server and puts it to sleep."""
    path, body = sleep_request(plan) or ("/sleep?level=1", "{}")
    base = f"http://{host}:{plan.port}"
    return (
        "import time, urllib.request as r\n"
        "def up():\n"
        "    try:\n"
        f"        return r.urlopen('{base}{HEALTH}', timeout=5).status == 200\n"
        "    except OSError:\n"
        "        return False\n"
        "while not up():\n"
        "    time.sleep(2)\n"
        f"r.urlopen(r.Request('{base}{path}', data=b'{body}', headers={{'Content-Type': 'application/json'}}))\n"
    )


def _escaped(word: str) -> str:
    """A dollar sign that compose leaves alone."""
    return word.replace("$", "$$")


def _written(data: dict[str, Any], plans: ServerPlans, *more: str) -> str:
    import yaml  # noqa: PLC0415  # slow to import

    notes = "".join(f"# {line}\n" for line in (*remarks(plans), *more))
    return notes + str(yaml.safe_dump(data, sort_keys=False, width=120, allow_unicode=True))
