"""What a simulation is made of: pictures, queues, servers, devices; see `simulate`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from natix_cascade.plan.stages import Station

__all__ = ["Device", "Gauge", "Group", "Job", "Line", "Picture", "Server", "Ticket", "connect"]


class Gauge:
    """A number over time, and its integral."""

    __slots__ = ("_area", "_begin", "_end", "_since", "most", "value")

    def __init__(self) -> None:
        self.value = self.most = 0
        self._area = self._since = self._begin = 0.0
        self._end: float | None = None

    def add(self, step: int, now: float) -> None:
        """Change it."""
        self._area += self.value * (now - self._since)
        self._since = now
        self.value += step
        self.most = max(self.most, self.value)

    def begin(self, now: float) -> None:
        """Count from here."""
        self.add(0, now)
        self._begin, self.most = self._area, self.value

    def end(self, now: float) -> None:
        """Count to here."""
        self.add(0, now)
        self._end = self._area

    def within(self) -> float:
        """Integral from `begin` to `end`."""
        return (self._area if self._end is None else self._end) - self._begin

    def whole(self) -> float:
        """Integral up to the last change."""
        return self._area


class Picture:
    """One on its way: `level` is where it is, `luck` decides how far it goes, `rest` are models to ask after these."""

    __slots__ = ("came", "due", "late", "left", "level", "luck", "pending", "rest", "tickets")

    def __init__(self, came: float, luck: float, due: float) -> None:
        self.came, self.luck, self.due = came, luck, due
        self.left = math.nan  # when it left
        self.level, self.pending, self.late = -1, 0, False
        self.tickets: list[Ticket] = []
        self.rest: list[Line] = []

    @property
    def gone(self) -> bool:
        """Whether it has left."""
        return not math.isnan(self.left)


class Ticket:
    """A picture's place in the queue of a model."""

    __slots__ = ("line", "picture", "queued", "since")

    def __init__(self, picture: Picture, line: Line, since: float) -> None:
        self.picture, self.line, self.since, self.queued = picture, line, since, True


class Device:
    """A GPU, or whatever else models share; `jobs` are kept in order, so that runs repeat."""

    __slots__ = ("busy", "jobs", "name")

    def __init__(self, name: str) -> None:
        self.name, self.busy = name, Gauge()
        self.jobs: dict[Job, None] = {}


class Job:
    """A batch in work: `left` seconds of it at full speed, as of `since`."""

    __slots__ = ("left", "server", "since", "speed", "tickets", "version")

    def __init__(self, server: Server, tickets: list[Ticket], left: float, now: float) -> None:
        self.server, self.tickets, self.left, self.since = server, tickets, left, now
        self.speed, self.version = 0.0, 0


class Line:
    """The queue of a model in one level, and a server for each copy."""

    __slots__ = (
        "alarm",
        "batches",
        "groups",
        "limit",
        "name",
        "queue",
        "servers",
        "shortest",
        "station",
        "taken",
        "waiting",
    )

    def __init__(self, name: str, station: Station, limit: int) -> None:
        self.name, self.station, self.limit = name, station, limit
        self.shortest = station.rate.seconds(1)
        self.queue: deque[Ticket] = deque()
        self.waiting = Gauge()
        self.servers: list[Server] = []
        self.groups: list[Group] = []
        self.taken = self.batches = 0
        self.alarm = -math.inf  # when the queue is looked at again

    def join(self, picture: Picture, now: float) -> None:
        """Queue up."""
        ticket = Ticket(picture, self, now)
        picture.tickets.append(ticket)
        self.queue.append(ticket)
        self.waiting.add(1, now)

    def head(self, now: float) -> float | None:
        """Since when the first picture waits that may still be in time."""
        while self.queue and not self._may_start(self.queue[0], now):
            self.queue.popleft()
        return self.queue[0].since if self.queue else None

    def take(self, now: float) -> list[Ticket]:
        """Take a batch out."""
        batch: list[Ticket] = []
        while self.queue and len(batch) < self.limit:
            ticket = self.queue.popleft()
            if self._may_start(ticket, now):
                ticket.queued = False
                batch.append(ticket)
        self.waiting.add(-len(batch), now)
        self.taken += len(batch)
        self.batches += 1
        return batch

    def _may_start(self, ticket: Ticket, now: float) -> bool:
        """Whether a picture still waits, and is not already too late for the shortest batch."""
        if ticket.queued and now + self.shortest > ticket.picture.due:
            ticket.queued = False
            self.waiting.add(-1, now)
        return ticket.queued


class Server:
    """One copy of a model."""

    __slots__ = ("devices", "group", "job", "line")

    def __init__(self, line: Line, devices: tuple[Device, ...]) -> None:
        self.line, self.devices = line, devices
        self.job: Job | None = None
        self.group = Group()


class Group:
    """Devices that some server uses together, and all servers on them: what one decides concerns the others."""

    __slots__ = ("devices", "servers")

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.devices: dict[str, Device] = {}


def connect(servers: Sequence[Server]) -> None:
    """Put servers that share a device, directly or through others, into one group."""
    groups: list[Group] = []
    for server in servers:
        names = {device.name for device in server.devices}
        merged = Group()
        for group in [group for group in groups if names & group.devices.keys()]:
            merged.servers += group.servers
            merged.devices |= group.devices
            groups.remove(group)
        merged.servers.append(server)
        merged.devices |= {device.name: device for device in server.devices}
        groups.append(merged)
    order = {id(server): index for index, server in enumerate(servers)}
    for group in groups:
        group.servers.sort(key=lambda server: order[id(server)])
        for server in group.servers:
            server.group = group
            if group not in server.line.groups:
                server.line.groups.append(group)
