"""The events of a simulation: what happens when; see `simulate`."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Literal

from natix_cascade.plan.simulate_parts import Device, Gauge, Group, Job, Line, Picture, Server, connect
from natix_cascade.plan.stages import Stage

__all__ = ["Arrivals", "Run", "Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """How pictures come.

    Attributes
    ----------
    kind : {"poisson", "fixed", "closed"}
        At random with a mean rate; in equal steps; or a new one whenever one leaves, so that always the same number is
        under way (this finds the most that the cascade can do).
    rate : float
        Pictures a second, for poisson and fixed.
    under_way : int
        Pictures under way, for closed.
    """

    kind: Literal["poisson", "fixed", "closed"] = "closed"
    rate: float = 0.0
    under_way: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How servers work.

    Attributes
    ----------
    max_delay_s : float
        A batch that is not full waits for more pictures until its first has waited this long.
    largest_batch : int or None
        No larger batches than this. Default: for each model that with most pictures a second.
    sharing : {"serial", "shared"}
        Models on one GPU take turns, one batch at a time, the one whose picture has waited longest first; or their
        batches run side by side at equal parts of its speed (processor sharing).
    service : {"fixed", "exponential"}
        A batch takes its rate's time, or a random time with that mean.
    deadline_s : float or None
        A picture that is not done by then leaves at once; a model does not begin with one that it cannot finish even in
        its shortest time.
    warm_up : float
        Share of the pictures, the first ones, that count for nothing; for closed arrivals at least four times those
        under way.
    seed : int
        Of all draws.
    """

    max_delay_s: float = 0.0
    largest_batch: int | None = None
    sharing: Literal["serial", "shared"] = "serial"
    service: Literal["fixed", "exponential"] = "fixed"
    deadline_s: float | None = None
    warm_up: float = 0.2
    seed: int = 0


class Run:
    """One simulation: `go`, then read.

    Figures count from the arrival of picture number `warm` (at `since`) to that of the last one (at `until`).
    """

    def __init__(
        self, stages: Sequence[Stage], arrivals: Arrivals, settings: Settings, *, pictures: int, warm: int
    ) -> None:
        self.stages, self.warm = stages, warm
        self.pictures: list[Picture] = []
        self.devices: dict[str, Device] = {}
        self.under_way = Gauge()
        self.now = self.since = self.until = 0.0
        self.left_within = 0
        self._arrivals, self._settings, self._count = arrivals, settings, pictures
        self._gaps, self._ways, self._times = (
            Random(f"{settings.seed}:{what}")  # noqa: S311 - nothing is secret here
            for what in ("gaps", "ways", "times")
        )
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._to_look_at: dict[Group, None] = {}
        self.levels = [self._lines(stage) for stage in stages]
        connect([server for line in self.lines for server in line.servers])

    @property
    def lines(self) -> list[Line]:
        """The queues of all models."""
        return [line for level in self.levels for line in level]

    def go(self) -> None:
        """Run until the last picture has left."""
        if self._arrivals.kind == "closed":
            for _ in range(min(self._arrivals.under_way, self._count)):
                self._at(0.0, self._arrive)
        else:
            self._at(self._gap(), self._arrive)
        while self._events:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            if not self._events or self._events[0][0] > self.now:  # all that happens at one time, then who starts
                groups, self._to_look_at = self._to_look_at, {}
                for group in groups:
                    self._start(group)
        for gauge in self._gauges():
            gauge.add(0, self.now)

    def _lines(self, stage: Stage) -> list[Line]:
        limit = self._settings.largest_batch
        lines = []
        for station in stage.stations:
            best = station.rate.best_batch
            line = Line(station.model, station, best if limit is None else min(best, limit))
            for names in station.replicas:
                line.servers.append(
                    Server(line, tuple(self.devices.setdefault(name, Device(name)) for name in dict.fromkeys(names)))
                )
            lines.append(line)
        return lines

    def _gauges(self) -> list[Gauge]:
        devices = [device.busy for device in self.devices.values()]
        return [self.under_way, *devices, *(line.waiting for line in self.lines)]

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._number), happen))

    # pictures come, go on and leave

    def _gap(self) -> float:
        rate = self._arrivals.rate
        return self._gaps.expovariate(rate) if self._arrivals.kind == "poisson" else 1 / rate

    def _arrive(self) -> None:
        if len(self.pictures) == self._count:
            return
        picture = Picture(self.now, self._ways.random(), self.now + (self._settings.deadline_s or math.inf))
        if len(self.pictures) == self.warm:
            self._begin()
        self.pictures.append(picture)
        self.under_way.add(1, self.now)
        if len(self.pictures) == self._count:
            self.until = self.now
            for gauge in self._gauges():
                gauge.end(self.now)
        elif self._arrivals.kind != "closed":
            self._at(self.now + self._gap(), self._arrive)
        if picture.due < math.inf:
            self._at(picture.due, lambda: self._give_up(picture))
        self._go_on(picture)

    def _begin(self) -> None:
        self.since, self.left_within = self.now, 0
        for gauge in self._gauges():
            gauge.begin(self.now)
        for line in self.lines:
            line.taken = line.batches = 0

    def _go_on(self, picture: Picture) -> None:
        """Take the picture to the models that are next, or let it leave."""
        while not picture.rest:
            following = picture.level + 1
            if following == len(self.stages) or picture.luck >= self.stages[following].reach:
                self._leave(picture)
                return
            picture.level = following
            picture.rest = self._drawn(following)
        now = 1 if self.stages[picture.level].ask == "in_turn" else len(picture.rest)
        lines, picture.rest = picture.rest[:now], picture.rest[now:]
        picture.pending, picture.tickets = len(lines), []
        for line in lines:
            line.join(picture, self.now)
            self._to_look_at.update(dict.fromkeys(line.groups))

    def _drawn(self, level: int) -> list[Line]:
        """The models that a picture asks at a level."""
        ask, lines = self.stages[level].ask, self.levels[level]
        if ask == "all":
            return [line for line in lines if line.station.share >= 1 or self._ways.random() < line.station.share]
        luck = self._ways.random()
        if ask == "in_turn":
            return [line for line in lines if luck < line.station.share]
        for line in lines:
            luck -= line.station.share
            if luck < 0:
                return [line]
        return []

    def _leave(self, picture: Picture) -> None:
        picture.left = self.now
        self.under_way.add(-1, self.now)
        if len(self.pictures) < self._count:
            self.left_within += 1
        if self._arrivals.kind == "closed":
            self._at(self.now, self._arrive)

    def _give_up(self, picture: Picture) -> None:
        if picture.gone:
            return
        picture.late = True
        for ticket in picture.tickets:
            if ticket.queued:
                ticket.queued = False
                ticket.line.waiting.add(-1, self.now)
        self._leave(picture)

    # servers start and finish batches

    def _start(self, group: Group) -> None:
        """Start all that can be started, the longest waiting first."""
        devices = group.devices.values()
        shared = self._settings.sharing == "shared"
        while shared or not all(device.jobs for device in devices):
            kept: set[str] = set()  # devices that an earlier one waits for
            for _, server in sorted(self._ready(group), key=lambda pair: pair[0]):
                names = {device.name for device in server.devices}
                if shared or not (any(device.jobs for device in server.devices) or names & kept):
                    self._begin_job(server)
                    break
                kept |= names
            else:
                break

    def _ready(self, group: Group) -> Iterable[tuple[float, Server]]:
        """Idle servers with a batch to take, with the time since when it waits."""
        for server in group.servers:
            line = server.line
            if server.job is not None or (head := line.head(self.now)) is None:
                continue
            due = head + self._settings.max_delay_s
            if line.waiting.value >= line.limit or self.now >= due:
                yield head, server
            elif line.alarm < due:
                line.alarm = due
                self._at(due, lambda line=line: self._to_look_at.update(dict.fromkeys(line.groups)))  # type: ignore[misc]

    def _begin_job(self, server: Server) -> None:
        tickets = server.line.take(self.now)
        seconds = server.line.station.rate.seconds(len(tickets))
        if self._settings.service == "exponential":
            seconds *= self._times.expovariate(1.0)
        server.job = job = Job(server, tickets, seconds, self.now)
        for device in server.devices:
            if not device.jobs:
                device.busy.add(1, self.now)
            device.jobs[job] = None
        self._share(server.devices)

    def _share(self, devices: Sequence[Device]) -> None:
        """Give the batches on some devices their present speeds."""
        for job in dict.fromkeys(job for device in devices for job in device.jobs):
            job.left = max(job.left - job.speed * (self.now - job.since), 0.0)
            job.since = self.now
            job.speed = 1 / max(len(device.jobs) for device in job.server.devices)
            job.version += 1
            self._at(self.now + job.left / job.speed, lambda job=job, own=job.version: self._finish(job, own))  # type: ignore[misc]

    def _finish(self, job: Job, version: int) -> None:
        if job.version != version:
            return  # its speed has changed since
        job.version += 1
        job.server.job = None
        for device in job.server.devices:
            del device.jobs[job]
            if not device.jobs:
                device.busy.add(-1, self.now)
        self._share(job.server.devices)
        self._to_look_at[job.server.group] = None
        for ticket in job.tickets:
            picture = ticket.picture
            if not picture.gone:
                picture.pending -= 1
                if not picture.pending:
                    self._go_on(picture)
