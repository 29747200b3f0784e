"""Arize Phoenix on this machine only: ``phoenix serve`` with its gRPC receiver on 127.0.0.1 too.

PHOENIX_HOST says where Phoenix listens for HTTP; its gRPC receiver takes every address of the machine, whatever one
sets. Run this with the Python that Phoenix is installed for; the port and the folder are Phoenix's own variables.

::

    PHOENIX_WORKING_DIR=traces PHOENIX_PORT=6006 PHOENIX_GRPC_PORT=4317 .venv-phoenix/bin/python tools/phoenix_server.py
"""

from __future__ import annotations

import os
import sys
from typing import Any

import grpc.aio

__all__ = ["main"]

HOST = "127.0.0.1"
_SETTINGS = {
    "PHOENIX_HOST": HOST,
    "PHOENIX_TELEMETRY_ENABLED": "false",  # neither Phoenix nor its page calls anybody else
    "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
}


def main() -> None:
    """Serve until stopped."""
    os.environ.update(_SETTINGS)
    _keep_grpc_on_loopback()
    sys.argv = ["phoenix", "serve"]
    from phoenix.server.main import main as phoenix  # noqa: PLC0415  # it reads the settings when it is imported

    phoenix()


def _keep_grpc_on_loopback() -> None:
    make = grpc.aio.server

    def server(*arguments: Any, **options: Any) -> Any:
        made = make(*arguments, **options)
        listen = made.add_insecure_port
        made.add_insecure_port = lambda address: listen(f"{HOST}:{address.rpartition(':')[2]}")
        return made

    grpc.aio.server = server


if __name__ == "__main__":
    main()
