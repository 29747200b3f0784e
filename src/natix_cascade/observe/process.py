"""The process that observes: what is slow, may hang or may break is done here, away from the answers.

One for each service, of low priority. It may die at any moment: the workers go on, count what they could not send, and
the supervisor starts it again.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from natix_cascade.errors import CascadeError
from natix_cascade.observe.build import observers
from natix_cascade.observe.hub import Hub
from natix_cascade.observe.logs import configure
from natix_cascade.observe.metrics import Metrics, count_as
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import ObserveOptions
from natix_cascade.observe.post import Inbox

__all__ = ["ObserveTask", "observe"]

_NICE = 19
_LOOK_S = 0.5
_LAST_S = 5.0  # to send what is held, at the end
_log = logging.getLogger("natix_cascade.observe")


@dataclass(frozen=True, slots=True)
class ObserveTask:
    """What the process is to do.

    Attributes
    ----------
    options : ObserveOptions
        What is observed.
    address : Path
        Where the workers send to.
    state : Path
        The service's folder.
    """

    options: ObserveOptions
    address: Path
    state: Path


def observe(task: ObserveTask) -> None:
    """Observe until told to leave; the function of the process."""
    configure(task.options.log, "observer")
    count_as("observer")
    with suppress(OSError):
        os.nice(_NICE)  # answers go first
    leaving = False

    def leave(*_: object) -> None:
        nonlocal leaving
        leaving = True

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the workers finish first, and may have something to say
    parent = os.getppid()
    inbox = Inbox(task.address)
    metrics = Metrics()
    hub = Hub(dropped=metrics.dropped, failed=metrics.observer_failed)
    try:
        for each in observers(task.options, task.state, lambda event: hub(Observation(event))):
            hub.add(each)
        hub.add(_Counted(metrics))
        _take(inbox, hub, lambda: leaving or os.getppid() != parent)
    except CascadeError as error:
        _log.error("nothing is observed: %s", error)  # in one line
        time.sleep(_LAST_S)  # it will be started again, and will fail again
        raise SystemExit(1) from None
    finally:
        inbox.close()
        if not hub.close(_LAST_S):
            _log.warning("not all observations could be sent")


def _take(inbox: Inbox, hub: Hub, is_over: Callable[[], bool]) -> None:
    """Hand on what comes; when it is over, what is there already too."""
    over = False
    while True:
        try:
            observation = inbox.receive(0.0 if over else _LOOK_S)
        except BlockingIOError:
            observation = None
        except ValueError as error:
            _log.warning("%s", error)
            continue
        if observation is not None:
            hub(observation)
        elif over:
            return
        over = over or is_over()


class _Counted:
    """Counts what only this process knows: scores."""

    name = "metrics"

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, observation: Observation) -> None:
        self._metrics.scored(observation.event)

    def close(self) -> None:
        """Nothing is held."""
