"""W&B Weave as an observer: verdicts, feedback and scores are logged there, and nothing here waits for it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Final

from natix_cascade.errors import CascadeError, MissingExtraError
from natix_cascade.installed import is_installed
from natix_cascade.observe.observation import Observation
from natix_cascade.observe.options import WeaveOptions
from natix_cascade.observe.secret import reveal
from natix_cascade.observe.weave_api import TraceServer, UnreachableError
from natix_cascade.observe.weave_delivery import Delivery
from natix_cascade.run.events import FeedbackGiven, PictureFailed, ScoreGiven, VerdictGiven

__all__ = ["WeaveLog", "check"]

_KEY: Final = "WANDB_API_KEY"
_MOST: Final = 256  # that wait here; more of them wait, and then are dropped, in the hub's queue
_BATCH: Final = 100
_GATHER_S: Final = 0.25  # a batch waits so long for company
_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two tries
_LAST_S: Final = 3.0
_ACCOUNT_S: Final = 60.0
_LOOK_S: Final = 0.2
_QUIET: Final = {  # of the account's process: no banners, no patches, no reports to weave's makers, no questions
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "WEAVE_IMPLICITLY_PATCH_INTEGRATIONS": "false",
    "WEAVE_PRINT_CALL_LINK": "false",
}
_rng = random.Random()  # noqa: S311  # spreads tries


class WeaveLog:
    """Logs to a Weave project.

    The server is asked for the first time when there is something to log; until it answers, tries become rarer, up to
    one a minute. What waits is bounded.

    Parameters
    ----------
    options : WeaveOptions
        Which project, where, and whose.

    Raises
    ------
    MissingExtraError
        A package is missing.
    CascadeError
        There is no key, or the project cannot be told.
    """

    name = "weave"

    def __init__(self, options: WeaveOptions) -> None:
        check(options)
        self._options = options
        self._waiting: deque[Observation] = deque()
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._complaint: CascadeError | None = None
        self._busy = 0
        self._lost = 0
        self._where = None if options.url is None else (options.url, options.project)
        self._delivery: Delivery | None = None
        self._server: TraceServer | None = None
        self._thread = threading.Thread(target=self._work, name="natix-weave-send", daemon=True)
        self._thread.start()

    def __call__(self, observation: Observation) -> None:
        """Put it into the next batch; waits while there are too many.

        Raises
        ------
        CascadeError
            Something that was taken in before could not be logged.
        """
        if not isinstance(observation.event, VerdictGiven | PictureFailed | FeedbackGiven | ScoreGiven):
            return
        with self._changed:
            while len(self._waiting) >= _MOST and not self._over.is_set():
                self._changed.wait(1.0)
            self._waiting.append(Observation(observation.event, observation.kept))
            self._changed.notify_all()
            complaint, self._complaint = self._complaint, None
        if complaint is not None:
            raise complaint

    def close(self) -> None:
        """Log what waits, within three seconds.

        Raises
        ------
        CascadeError
            Not all of it could be logged.
        """
        self._over.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_LAST_S)
        left = self._lost + (len(self._waiting) + self._busy if self._thread.is_alive() else 0)
        if left:
            raise CascadeError(
                f"up to {left} observations were not logged to Weave: {self._complaint or 'no time was left'}"
            )

    def _work(self) -> None:
        while batch := self._take():
            self._deliver(batch)
            with self._changed:
                self._busy = 0
        self._disconnect()

    def _take(self) -> list[Observation]:
        """The next batch; empty when it is over and nothing waits."""
        with self._changed:
            while not self._waiting and not self._over.is_set():
                self._changed.wait()
            self._changed.wait_for(lambda: self._over.is_set() or len(self._waiting) >= _BATCH, _GATHER_S)
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            self._busy = len(batch)
            self._changed.notify_all()
        return batch

    def _deliver(self, batch: list[Observation]) -> None:
        """Try until it is done, or over: then once more."""
        tries, wait_s, last = 0, _FIRST_S, False
        while not self._tried(batch, tries):
            if last:
                self._lost += len(batch)
                return
            tries += 1
            last = self._over.wait(wait_s * _rng.uniform(0.75, 1.25))
            wait_s = min(2 * wait_s, _LONGEST_S)

    def _tried(self, batch: list[Observation], tries: int) -> bool:
        try:
            refused = self._connected(again=tries > 0)(batch, tries)
        except UnreachableError as error:
            self._complaint = error
            self._disconnect()  # the key may have changed
            return False
        except Exception as error:  # noqa: BLE001  # whatever it is: the batch is lost, the thread goes on
            self._complaint = CascadeError(f"{len(batch)} observations are lost: {type(error).__name__}: {error}")
            self._lost += len(batch)
            return True
        if refused:
            self._complaint = CascadeError(f"{len(refused)} were refused; the last one: {refused[-1]}")
            self._lost += len(refused)
        return True

    def _connected(self, *, again: bool) -> Delivery:
        if self._delivery is None:
            try:
                key = _key(self._options, again=again)
            except CascadeError as error:
                raise UnreachableError(f"Weave's key: {error}") from None
            if self._where is None:
                self._where = self._account(self._options.project, key)
            self._server = TraceServer(*self._where, key)
            self._delivery = Delivery(self._server)
        return self._delivery

    def _disconnect(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = self._delivery = None

    def _account(self, project: str, key: str | None) -> tuple[str, str]:
        """Where the hosted service takes calls, and the project's whole name."""
        environment = {**os.environ, **_QUIET, _KEY: key or ""}
        command = [sys.executable, "-P", "-m", "natix_cascade.observe.weave_account", project]
        process = subprocess.Popen(  # noqa: S603  # this Python, without a shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + _ACCOUNT_S
        while True:
            try:
                out, complaints = process.communicate(timeout=_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > until or self._over.is_set():
                    process.kill()
        if process.returncode:
            why = (complaints.strip().splitlines() or ["it took too long"])[-1]
            raise UnreachableError(f"Weave's project {project!r} cannot be found or made: {why}; it is tried again")
        found = json.loads(out.strip().splitlines()[-1])
        return found["url"], found["project"]


def check(options: WeaveOptions) -> None:
    """Refuse what cannot work.

    Raises
    ------
    MissingExtraError
        A package is missing.
    CascadeError
        The project's name is none, or there is no key.
    """
    if not is_installed("httpx"):
        raise MissingExtraError("Weave needs one more package: pip install 'natix-cascade[serve]'")
    if options.url is None and not is_installed("weave"):
        raise MissingExtraError("Weave's hosted service needs one more package: pip install 'natix-cascade[weave]'")
    if options.url is not None and options.project.count("/") != 1:
        raise CascadeError(
            f"Weave's project is {options.project!r}; with a server of one's own (url) it is written ENTITY/PROJECT"
        )
    if options.url is None and options.api_key is None and not os.environ.get(_KEY):
        raise CascadeError(f"Weave needs a key: set the variable {_KEY}, or name one in [observe.weave] api_key")


def _key(options: WeaveOptions, *, again: bool = False) -> str | None:
    return reveal(options.api_key, refused=again) or os.environ.get(_KEY) or None
