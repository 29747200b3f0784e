"""From the workers to the process that observes: datagrams on this machine, sent without waiting.

A worker that cannot send drops what it has and counts it. Whether the other side is slow, hangs or is gone makes no
difference to an answer.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from natix_cascade.observe.observation import Observation
from natix_cascade.observe.wire import decode, encode

__all__ = ["Inbox", "Post"]

_BUFFER = 4 * 1024 * 1024  # the system may give less
_MOST = 8 * 1024 * 1024
_PATIENCE_S = 1.0


class Post:
    """Sends observations to an `Inbox`.

    Parameters
    ----------
    address : Path
        Of the inbox's socket; it need not be there yet, or any more.
    dropped : callable
        Called for each observation, or its picture, that could not be sent.
    """

    def __init__(self, address: Path, dropped: Callable[[], None]) -> None:
        self._address, self._dropped = str(address), dropped
        self._hasty, self._patient = _socket(0.0), _socket(_PATIENCE_S)

    def __call__(self, observation: Observation) -> None:
        """Send it, or drop it; never waits, except for room for a picture, which comes from a thread of its own."""
        try:
            if observation.picture is None:
                self._hasty.sendto(encode(observation), self._address)
            else:
                self._patient.sendto(encode(observation), self._address)
        except OSError:  # full, too long, nobody there
            self._dropped()
            if observation.picture is not None:
                self(replace(observation, picture=None))

    def close(self) -> None:
        """Close the sockets."""
        self._hasty.close()
        self._patient.close()


def _socket(timeout_s: float) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.settimeout(timeout_s)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return found


class Inbox:
    """Receives what every `Post` of an address sends.

    Parameters
    ----------
    address : Path
        Of a socket, which is made.
    """

    def __init__(self, address: Path) -> None:
        address.unlink(missing_ok=True)
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind(str(address))

    def receive(self, timeout_s: float) -> Observation | None:
        """The next observation; None: none came in time.

        Raises
        ------
        ValueError
            What came was none.
        """
        self._socket.settimeout(timeout_s)
        try:
            message = self._socket.recv(_MOST)
        except TimeoutError:
            return None
        return decode(message)

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        with contextlib.suppress(OSError):
            self._address.unlink(missing_ok=True)
