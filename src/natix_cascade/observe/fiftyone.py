"""FiftyOne: the one file that imports it. It connects to its database and serves its App.

What is done with it lies in `dataset_fill` (samples) and `dataset_views` (evaluation, views), which are handed the
package: it is optional, large and untyped.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from natix_cascade.errors import MissingExtraError, StoreError

__all__ = ["connect", "serve_app"]

_PING_MS = 5000
_START_S = 300.0
_PAUSE_S = 0.25
_STOP_S = 10.0
_HOST = "127.0.0.1"
_HELP = (
    "start one (mongod --dbpath DIR --bind_ip 127.0.0.1 --port 27017) and give --database mongodb://127.0.0.1:27017, "
    "or set FIFTYONE_DATABASE_URI; docs/how-to/fiftyone.md says where a mongod comes from"
)


def connect(database: str | None = None) -> Any:
    """Import FiftyOne with its usage reports off, and open its database.

    Parameters
    ----------
    database : str or None
        ``mongodb://...``; None: as ``FIFTYONE_DATABASE_URI`` or FiftyOne's own configuration says, else the mongod that
        FiftyOne brings along on many systems.

    Returns
    -------
    module
        ``fiftyone``.

    Raises
    ------
    MissingExtraError
        It is not installed.
    StoreError
        There is no database, or it does not answer.
    """
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "1")
    if database is not None:
        os.environ["FIFTYONE_DATABASE_URI"] = database  # read when it is imported, and by the App's process
    try:
        found = importlib.import_module("fiftyone")
    except ImportError as error:
        raise MissingExtraError(
            f"FiftyOne is not installed ({error.name} is missing): pip install 'natix-cascade[fiftyone]'"
        ) from error
    uri = found.config.database_uri
    if uri is not None:
        _ping(uri)
    try:
        found.list_datasets()  # connects
    except Exception as error:  # it has many kinds of its own
        if uri is None:
            raise StoreError(f"FiftyOne brings no mongod that runs on this system: {_HELP}") from error
        raise StoreError(f"FiftyOne cannot use the database {_shown(uri)}: {error}") from error
    found.config.show_progress_bars = False
    return found


def serve_app(port: int, dataset: str, ready: Callable[[str], None], *, patience_s: float = _START_S) -> None:
    """Serve the App on loopback until it is interrupted.

    FiftyOne's own ``launch_app`` gives its server a fixed time to appear, which slow machines do not keep; here the
    server is started the way that does it, and waited for.

    Parameters
    ----------
    port : int
        On 127.0.0.1.
    dataset : str
        What the address that is told opens.
    ready : callable
        Handed the address when the App answers.
    patience_s : float
        How long it may take to start.

    Raises
    ------
    StoreError
        The port is taken, or the App did not start.
    """
    if _answers(port):
        raise StoreError(f"something answers on {_HOST}:{port} already; give another --port")
    folder = Path(str(importlib.import_module("fiftyone.constants").SERVER_DIR))
    command = [sys.executable, str(folder / "main.py"), "--port", str(port), "--address", _HOST]
    with subprocess.Popen(command, cwd=folder, stdout=sys.stderr) as server:  # noqa: S603  # no shell, fixed words
        try:
            _wait(server, port, patience_s)
            ready(f"http://{_HOST}:{port}/datasets/{dataset}")
            code = server.wait()
        except KeyboardInterrupt:  # the way in which it ends; it reaches the server too
            return
        finally:
            _stop(server)
    raise StoreError(f"FiftyOne's App ended by itself, with code {code}; its words stand above")


def _wait(server: subprocess.Popen[bytes], port: int, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while not _answers(port):
        if server.poll() is not None:
            raise StoreError(f"FiftyOne's App did not start on port {port} (code {server.returncode}); see above")
        if time.monotonic() > until:
            raise StoreError(f"FiftyOne's App did not answer on port {port} within {patience_s:.0f} s")
        time.sleep(_PAUSE_S)


def _answers(port: int) -> bool:
    """Whether an HTTP server answers there, whatever it says."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{_HOST}:{port}/fiftyone", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()


def _ping(uri: str) -> None:
    """Ask the database whether it is there, before FiftyOne waits half a minute for it."""
    client = importlib.import_module("pymongo")
    try:
        with client.MongoClient(uri, serverSelectionTimeoutMS=_PING_MS) as link:
            link.admin.command("ping")
    except Exception as error:  # wrong address, no answer, no permission
        raise StoreError(f"no database answers at {_shown(uri)} ({type(error).__name__}): {_HELP}") from error


def _shown(uri: str) -> str:
    """The address without a password."""
    return re.sub(r"//[^/@]*@", "//***@", uri)
