"""The models behind LitServe, in its own words: setup, predict; batches by its own loop.

The body is taken as it is and the answer is handed over encoded: its cheapest ways in and out.
"""

import argparse
from collections.abc import Sequence
from typing import Annotated, Any

import litserve
from fastapi import Body
from judge import FORMS, Form, Judge
from starlette.responses import Response


class Roadwork(litserve.LitAPI):  # type: ignore[misc]
    """One picture or a batch of them."""

    def __init__(self, form: Form, *, lanes: int, intra: int, batch: int, wait_ms: float) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=wait_ms / 1000, api_path="/infer")
        self.settings: dict[str, Any] = {"form": form, "lanes": lanes, "intra": intra, "batch": batch}

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe's name
        """Load the models in the worker."""
        self.judge = Judge(**self.settings)

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        """The body."""
        return request

    def predict(self, x: bytes | Sequence[bytes]) -> bytes | list[bytes]:
        """Verdicts."""
        return self.judge([x])[0] if isinstance(x, bytes) else self.judge(x)

    def encode_response(self, output: bytes) -> Response:
        """JSON already."""
        return Response(output, media_type="application/json")


def main() -> None:
    """Serve on loopback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--form", choices=FORMS, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--intra", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--wait-ms", type=float, default=0.0)
    parser.add_argument("--fronts", type=int, default=1)
    parser.add_argument("--slow-queue", action="store_true")
    given = parser.parse_args()
    api = Roadwork(given.form, lanes=given.lanes, intra=given.intra, batch=given.batch, wait_ms=given.wait_ms)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=given.workers, fast_queue=not given.slow_queue, timeout=30
    )
    server.run(
        host="127.0.0.1",
        port=given.port,
        num_api_servers=given.fronts,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
