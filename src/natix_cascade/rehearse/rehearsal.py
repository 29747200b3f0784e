"""The rehearsal as a whole: stage, servers, pictures, and what came of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natix_cascade.image import Picture, decode
from natix_cascade.rehearse.play import Ensemble, MemberReport, Outage, everyone, report, try_outage
from natix_cascade.rehearse.servers import cast_servers, serving
from natix_cascade.rehearse.stage import build_stage
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.spec.library import find_cascade, load_cascade
from natix_cascade.testing import render_scene

__all__ = ["Rehearsal", "rehearse"]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of a rehearsal.

    Attributes
    ----------
    cascade : str
        ``name@version``.
    pictures : int
        How many were judged.
    members : tuple of MemberReport
        In the cascade's order.
    servers : str
        Who served the vision-language models.
    outage : Outage or None
        If one was tried.
    seconds : float
        Of the judging.
    """

    cascade: str
    pictures: int
    members: tuple[MemberReport, ...]
    servers: str
    outage: Outage | None
    seconds: float

    @property
    def models(self) -> int:
        """How many models there are; the roles of one are one."""
        return len({member.model.partition(":")[0] for member in self.members})

    @property
    def answering(self) -> int:
        """How many answered every picture, in all of their roles, and had an opinion of at least one."""
        lost = {m.model.partition(":")[0] for m in self.members if m.failures or not m.answers}
        return self.models - len(lost)

    @property
    def complete(self) -> bool:
        """Whether all answered, and, if there was an outage, whether it degraded, opened breakers and was overcome."""
        return self.answering == self.models and (self.outage is None or self.outage.overcome)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "cascade": self.cascade,
            "complete": self.complete,
            "models": self.models,
            "answering": self.answering,
            "pictures": self.pictures,
            "servers": self.servers,
            "seconds": round(self.seconds, 1),
            "members": [dataclasses.asdict(member) for member in self.members],
            "outage": self.outage.as_dict() if self.outage is not None else None,
        }


def rehearse(
    cascade: str | Path,
    folder: Path,
    *,
    files: Sequence[Path] = (),
    scenes: int = 4,
    vllm: Path | None = None,
    outage: bool = False,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Rehearse a cascade.

    Parameters
    ----------
    cascade : str or Path
        Shipped name or file.
    folder : Path
        For the tiny models and the servers' logs; what is there is used again.
    files : sequence of Path
        Pictures; none: rendered scenes.
    scenes : int
        How many rendered scenes, every other one by night.
    vllm : Path or None
        The ``vllm`` program; None: the chat server serves all.
    outage : bool
        Kill vLLM half-way and start it again.
    seed : int
        Of weights and scenes.
    tell : callable
        Told of each step.

    Raises
    ------
    CascadeError
        The cascade is wrong, a model cannot be built, or a server does not start.
    """
    spec = everyone(find_cascade(cascade)[0])
    models = folder / "models"
    resolved, weights = load_cascade(spec, models=models)
    stage = build_stage(resolved.cards, weights, models, seed=seed, tell=lambda name: tell(f"building a tiny {name}"))
    pictures = _pictures(files, scenes, seed)
    casting = cast_servers(resolved.cards, stage, with_vllm=vllm is not None)
    with serving(casting, stage, folder / "logs", vllm=vllm, tell=tell) as running:
        loaded = LoadedCascade(resolved, weights, endpoints=running.endpoints)
        with Ensemble(loaded) as ensemble:
            tell(f"{len(resolved.models)} members look at {len(pictures)} pictures")
            began = time.perf_counter()
            verdicts = []
            for picture in pictures:
                verdicts.append(ensemble.ask(picture))
                tell(f"{picture.id}: {len(verdicts[-1].opinions)} opinions in {verdicts[-1].latency_ms / 1000:.1f} s")
            seconds = time.perf_counter() - began
            gone = None
            if outage and running.vllm is not None:
                gone = try_outage(ensemble, running.vllm, tuple(casting.vllm), pictures, tell)
            members = tuple(report(loaded, verdicts))
    by = ", ".join(
        f"{who} for {len(whom)}" for who, whom in (("vLLM", casting.vllm), ("transformers", casting.chat)) if whom
    )
    return Rehearsal(resolved.name, len(pictures), members, by or "none", gone, seconds)


def _pictures(files: Sequence[Path], scenes: int, seed: int) -> list[Picture]:
    if files:
        return [decode(path) for path in files]
    hours = ("day", "night")
    rendered = [
        render_scene(seed + index, roadwork=index % 2 == 0, time_of_day=hours[index % len(hours)])
        for index in range(scenes)
    ]
    return [decode(scene.jpeg(), id=f"scene-{index}") for index, scene in enumerate(rendered)]
