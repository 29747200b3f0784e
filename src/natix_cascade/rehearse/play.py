"""Playing the whole cascade: every member is asked about every picture, and what came of it is written down."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.image import Picture
from natix_cascade.run.background import Background
from natix_cascade.run.events import BreakerChanged, Event
from natix_cascade.run.loaded import LoadedCascade
from natix_cascade.run.options import BreakerOptions, ModelOptions, RunnerOptions
from natix_cascade.run.runner import Runner
from natix_cascade.spec.cascade import CascadeSpec

__all__ = ["Ensemble", "MemberReport", "Outage", "everyone", "report", "try_outage"]

_OPTIONS = RunnerOptions(
    default=ModelOptions(
        max_batch=4, timeout_ms=180_000, attempts=1, breaker=BreakerOptions(window=4, calls=2, open_s=2.0)
    )
)
"""A small machine is slow at so many networks; breakers open soon, so that an outage shows within a few pictures."""
_MOST_TRIES = 60


def everyone(cascade: CascadeSpec) -> CascadeSpec:
    """The cascade with its exits shut and every member asked, without a policy and without a deadline."""
    levels = tuple(replace(level, exit=None, mode="all", budget_ms=None) for level in cascade.levels)
    return replace(cascade, levels=levels, policy=None, deadline_ms=None)


@dataclass(frozen=True, slots=True)
class MemberReport:
    """What one member did.

    Attributes
    ----------
    model, level, engine : str
        Who.
    answers, silent, failures : int
        Pictures with an opinion, without one (a night specialist by day), and without an answer.
    score : float or None
        Mean P(positive).
    median_ms : float
        From the question to the answer; of the answered ones.
    evidence : str
        Kinds of evidence given.
    failure : str
        The first failure's text.
    """

    model: str
    level: str
    engine: str
    answers: int
    silent: int
    failures: int
    score: float | None
    median_ms: float
    evidence: str
    failure: str = ""


class Ensemble:
    """A runner for a rehearsal, and the breakers' changes that it saw.

    Parameters
    ----------
    loaded : LoadedCascade
        The cascade and its models; closed with the ensemble.
    """

    def __init__(self, loaded: LoadedCascade) -> None:
        self.loaded = loaded
        self.changes: list[BreakerChanged] = []
        self._lock = threading.Lock()
        self._background = Background(Runner(loaded, listeners=(self._hear,), options=_OPTIONS))

    def ask(self, picture: Picture) -> Verdict:
        """One verdict; all levels run.

        Raises
        ------
        ModelError
            No model answered.
        """
        return self._background.wait_for(self._background.runner.detect(picture))

    def open_breakers(self) -> set[str]:
        """Models that are left alone now."""
        with self._lock:
            states = {change.model: change.state for change in self.changes}
        return {model for model, state in states.items() if state == "open"}

    def close(self) -> None:
        """Free everything."""
        self._background.close()
        self.loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hear(self, event: Event) -> None:
        if isinstance(event, BreakerChanged):
            with self._lock:
                self.changes.append(event)


def report(loaded: LoadedCascade, verdicts: Sequence[Verdict]) -> list[MemberReport]:
    """Add up what every member said in the verdicts."""
    said: dict[str, list[Opinion]] = {}
    for verdict in verdicts:
        for opinion in verdict.opinions:
            said.setdefault(opinion.model, []).append(opinion)
    rows = []
    for level in loaded.resolved.levels:
        for member in level.members:
            engine = loaded.resolved.cards[member.model].engine
            rows.append(_row(member.model, level.name, engine, said.get(member.model, [])))
    return rows


def _row(model: str, level: str, engine: str, opinions: Iterable[Opinion]) -> MemberReport:
    opinions = list(opinions)
    scores = [opinion.score for opinion in opinions if opinion.score is not None]
    times = [opinion.latency_ms for opinion in opinions if opinion.failure is None]
    failures = [opinion.failure for opinion in opinions if opinion.failure is not None]
    kinds: set[str] = set()
    for opinion in opinions:
        evidence = opinion.evidence
        if evidence is not None:
            shown = {"boxes": evidence.boxes, "text": evidence.text, "mask": evidence.mask is not None}
            kinds |= {kind for kind, there in shown.items() if there}
    return MemberReport(
        model=model,
        level=level,
        engine=engine,
        answers=len(scores),
        silent=len(opinions) - len(scores) - len(failures),
        failures=len(failures),
        score=statistics.fmean(scores) if scores else None,
        median_ms=statistics.median(times) if times else 0.0,
        evidence=" ".join(sorted(kinds)),
        failure=failures[0] if failures else "",
    )


class Killable(Protocol):
    """A server that can be killed and started again."""

    def kill(self) -> None:
        """End it at once."""

    def restart(self) -> float:
        """Start it again and wait until it answers; returns the seconds that took."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What an outage of a server did to the verdicts.

    Attributes
    ----------
    models : tuple of str
        Whom that server serves.
    degraded : int
        Degraded verdicts while it was away.
    pictures : int
        Pictures judged while it was away; each got a verdict.
    opened : tuple of str
        Models whose breaker opened.
    recovered_after : int
        Pictures after its return until all of its models answered again.
    """

    models: tuple[str, ...]
    degraded: int
    pictures: int
    opened: tuple[str, ...]
    recovered_after: int

    @property
    def overcome(self) -> bool:
        """Whether it showed in the verdicts, opened all its breakers, and was over when the server was back."""
        return self.degraded > 0 and set(self.opened) == set(self.models) and self.recovered_after >= 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "models": list(self.models),
            "pictures_while_away": self.pictures,
            "degraded_while_away": self.degraded,
            "breakers_opened": list(self.opened),
            "pictures_until_recovered": self.recovered_after,
        }


def try_outage(
    ensemble: Ensemble,
    server: Killable,
    models: Sequence[str],
    pictures: Sequence[Picture],
    tell: Callable[[str], None] = lambda _: None,
) -> Outage:
    """Kill a server, go on judging, start it again, and go on until its models answer.

    Parameters
    ----------
    ensemble : Ensemble
        Who judges.
    server : Killable
        What is killed and started again.
    models : sequence of str
        Members that it serves.
    pictures : sequence of Picture
        Asked in turn, as often as needed.
    tell : callable
        Told what happens.
    """
    server.kill()
    tell("the server is killed; the pictures go on")
    away, opened = [], set[str]()
    for index in range(_MOST_TRIES):
        away.append(ensemble.ask(pictures[index % len(pictures)]))
        opened |= ensemble.open_breakers() & set(models)
        if opened >= set(models):
            break
    tell(f"{len(opened)} breakers opened after {len(away)} pictures; the server starts again")
    server.restart()
    tries = 0
    for tries in range(1, _MOST_TRIES + 1):
        verdict = ensemble.ask(pictures[tries % len(pictures)])
        failed = {opinion.model for opinion in verdict.opinions if opinion.failure is not None}
        if not failed & set(models):
            break
        time.sleep(0.5)  # the breakers' own time
    else:
        tries = -1
    return Outage(tuple(models), sum(v.degraded for v in away), len(away), tuple(sorted(opened)), tries)
