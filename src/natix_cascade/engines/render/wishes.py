"""What rendered files have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from natix_cascade.engines.facts import IMAGES, release_of
from natix_cascade.engines.server import ServerPlan, ServerPlans
from natix_cascade.spec.base import Spec

__all__ = ["RenderOptions", "earlier_neighbours", "image_of", "remarks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions(Spec):
    """How files are to be.

    Attributes
    ----------
    programs : str
        Folder whose ``ENGINE/bin`` holds the engines' programs (systemd).
    secrets : str
        File of ``NAME=value`` lines with keys and tokens, which are in no rendered file.
    ready_s : int
        Longest wait for a server to load its model.
    images : dict
        Package to container image, in place of the pinned one.
    weights_root : str
        Folder that relative folders of weights and adapters are below, in containers and units.
    """

    programs: str = "/opt/natix-engines"
    secrets: str = "/etc/natix-cascade/engines.env"  # a file's name
    ready_s: int = 1800
    images: dict[str, str] = field(default_factory=dict)
    weights_root: str = "/srv/natix-cascade"


def image_of(plan: ServerPlan, options: RenderOptions) -> str:
    """Container image of a server."""
    package = release_of(plan.engine)[0]
    return options.images.get(package, IMAGES[package])


def earlier_neighbours(plans: ServerPlans, plan: ServerPlan) -> list[ServerPlan]:
    """Servers before this one on a GPU of its own: they must have loaded (and gone to sleep) first."""
    before = plans.servers[: plans.servers.index(plan)]
    return [other for other in before if set(other.gpus) & set(plan.gpus)]


def remarks(plans: ServerPlans) -> Iterator[str]:
    """Lines at the head of a file: what it is, and what to know."""
    what = " on ".join(part for part in (plans.cascade, plans.machine) if part)
    yield f"Servers of {what or 'vision-language models'}; written by natix-cascade engines render."
    releases = sorted({release_of(plan.engine) for plan in plans.servers})
    yield "For " + ", ".join(f"{package} {version}" for package, version in releases) + "; check it after an upgrade."
    if any(plan.sleep and plan.engine == "vllm" for plan in plans.servers):
        yield "VLLM_SERVER_DEV_MODE=1 opens /sleep and /wake_up without a key: keep these ports on this machine."
    yield from plans.notes
