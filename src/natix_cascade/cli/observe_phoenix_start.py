"""The process behind ``observe phoenix start``."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from natix_cascade.cli.common import console
from natix_cascade.errors import CascadeError, MissingExtraError
from natix_cascade.observe.phoenix.program import command, config_lines, environment, find_python
from natix_cascade.rehearse.server_process import ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Server"]

_READY_S, _STOP_S, _LOOK_S = 600.0, 20.0, 0.5


class Server:
    """Phoenix's server as a child of this process.

    Parameters
    ----------
    folder : Path
        For its files.
    port : int
        On loopback; 0 takes a free one.
    program : str or None
        See `find_python`.
    ends_with_us : bool
        Whether it ends with this process, however that ends.
    """

    def __init__(self, folder: Path, *, port: int, program: str | None, ends_with_us: bool) -> None:
        chosen = port or free_port()
        self.log = folder / "phoenix.log"
        self.url = f"http://127.0.0.1:{chosen}"
        self._process = ServerProcess(
            "Phoenix",
            command(find_python(program), ends_with_us=ends_with_us),
            port=chosen,
            log=self.log,
            environment=environment(folder, port=chosen, grpc_port=free_port()),
            ready_path="/healthz",
            ready_s=_READY_S,
            stop_s=_STOP_S,
        )

    @property
    def pid(self) -> int | None:
        """Of its process; None where it does not run."""
        return self._process.pid

    def start(self) -> float:
        """Start it and wait until it answers; returns the seconds.

        Raises
        ------
        ModelError
            It does not start; the text quotes its log.
        """
        signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl+C
        with _waiting():
            return self._process.start()

    def make_project(self, name: str) -> str:
        """Make the project; returns a remark where that has to wait for its first trace."""
        from natix_cascade.observe.phoenix.client import Phoenix

        try:
            with Phoenix(self.url) as phoenix:
                phoenix.make_project(name)
        except MissingExtraError:
            return f"the project {name!r} will be there with its first trace"
        except CascadeError as error:
            return f"the project {name!r} will be there with its first trace: {error}"
        return ""

    def config(self, project: str) -> str:
        """Lines for a service's TOML file."""
        return config_lines(self.url, project)

    def wait(self) -> bool:
        """Wait for Ctrl+C or SIGTERM, then end it; False: it ended by itself."""
        try:
            while self._process.running:
                time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            sys.stderr.write("Phoenix ends ...\n")
            return True
        else:
            return False
        finally:
            self._process.stop()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _waiting() -> Iterator[None]:
    """A line that says how long it takes: moving in a terminal, else once."""
    text = "Phoenix starts; the first time takes a minute or two"
    if not sys.stderr.isatty():
        sys.stderr.write(f"{text} ...\n")
        sys.stderr.flush()
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        bar.add_task(text, total=None)
        yield
