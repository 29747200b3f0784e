"""Phoenix's server, all of it on 127.0.0.1: a script that runs under the Python that Phoenix is installed for.

PHOENIX_HOST says where Phoenix listens for HTTP; its second receiver of spans (OTLP over gRPC) takes every address of
the machine, whatever one sets. Here that one is told the address too. Nothing of natix_cascade is imported: it is not
installed there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

__all__ = ["main"]

HOST = "127.0.0.1"
_WITH_PARENT = "--ends-with-its-parent"
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until stopped."""
    if _WITH_PARENT in sys.argv:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # it is gone already
            return
    sys.argv = ["phoenix", "serve"]
    try:
        _keep_grpc_here()
        from phoenix.server.main import main as serve  # noqa: PLC0415  # it reads its settings when it is imported
    except ModuleNotFoundError as error:
        sys.exit(f"{sys.executable} has no Phoenix ({error.name} is missing): pip install arize-phoenix there")
    serve()


def _keep_grpc_here() -> None:
    import grpc.aio  # noqa: PLC0415  # of Phoenix's environment

    make = grpc.aio.server

    def server(*arguments: Any, **options: Any) -> Any:
        made = make(*arguments, **options)
        listen = made.add_insecure_port
        made.add_insecure_port = lambda address: listen(f"{HOST}:{address.rpartition(':')[2]}")
        return made

    grpc.aio.server = server


if __name__ == "__main__":
    main()
