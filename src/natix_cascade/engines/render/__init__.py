"""Servers as files: a shell script, systemd units, compose services, Helm values, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from natix_cascade.engines.commands import command
from natix_cascade.engines.render.containers import compose, helm
from natix_cascade.engines.render.shell import script
from natix_cascade.engines.render.systemd import units
from natix_cascade.engines.render.wishes import RenderOptions
from natix_cascade.engines.server import ServerPlans
from natix_cascade.spec.build import plain

__all__ = ["FORMATS", "RenderOptions", "Rendered", "rendered"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file to write.

    Attributes
    ----------
    name : str
        Its name.
    text : str
        All of it.
    mode : int
        Who may read, write and run it.
    """

    name: str
    text: str
    mode: int = 0o644


def rendered(plans: ServerPlans, kind: str, options: RenderOptions | None = None) -> list[Rendered]:
    """Files that start servers.

    Parameters
    ----------
    plans : ServerPlans
        The servers.
    kind : {"shell", "systemd", "compose", "helm", "json"}
        What for.
    options : RenderOptions or None
        Folders, images, secrets.
    """
    return _KINDS[kind](plans, options or RenderOptions())


def _shell(plans: ServerPlans, options: RenderOptions) -> list[Rendered]:
    return [Rendered("start-servers.sh", script(plans, options), 0o755)]


def _systemd(plans: ServerPlans, options: RenderOptions) -> list[Rendered]:
    return [Rendered(name, text) for name, text in units(plans, options).items()]


def _compose(plans: ServerPlans, options: RenderOptions) -> list[Rendered]:
    return [Rendered("compose.yaml", compose(plans, options))]


def _helm(plans: ServerPlans, options: RenderOptions) -> list[Rendered]:
    return [Rendered("values.yaml", helm(plans, options))]


def _json(plans: ServerPlans, _options: RenderOptions) -> list[Rendered]:
    return [Rendered("servers.json", json.dumps(as_data(plans), indent=2) + "\n")]


def as_data(plans: ServerPlans) -> dict[str, Any]:
    """The servers and their commands as plain data."""
    commands = [command(plan) for plan in plans.servers]
    return {
        **plain(plans),
        "commands": [{"name": one.name, "words": list(one.words), "environment": one.environment} for one in commands],
    }


_KINDS: dict[str, Callable[[ServerPlans, RenderOptions], list[Rendered]]] = {
    "shell": _shell,
    "systemd": _systemd,
    "compose": _compose,
    "helm": _helm,
    "json": _json,
}
FORMATS = tuple(_KINDS)
