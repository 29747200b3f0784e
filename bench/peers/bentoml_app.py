"""The models behind BentoML: a service with one call, batched by its own dispatcher.

The body is taken as it is and the answer is handed over encoded: its cheapest ways in and out. Settings come from
the environment, for `bentoml serve` imports this file by itself.
"""

import json
import os
from typing import Any, Self

import bentoml
from _bentoml_sdk.io_models import IORootModel
from judge import Judge
from starlette.requests import Request
from starlette.responses import Response

SETTINGS: dict[str, Any] = json.loads(os.environ["BENCH_SETTINGS"])


class Bodies(IORootModel[list[bytes]]):
    """A list of one body: lists of requests are joined to a batch."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Self:  # noqa: ARG003  # BentoML's signature
        """The body as it is."""
        return cls([await request.body()])


class Answers(IORootModel[list[bytes]]):
    """A list of one answer."""

    @classmethod
    async def to_http_response(cls, obj: list[bytes], serde: object) -> Response:  # noqa: ARG003  # the same
        """JSON already."""
        return Response(obj[0], media_type="application/json")


Bodies.__root_input__ = True


@bentoml.service(
    name="roadwork",
    workers=SETTINGS["workers"],
    threads=SETTINGS["threads"],
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},
)
class Roadwork:
    """One call."""

    def __init__(self) -> None:
        names = ("form", "lanes", "intra", "batch")
        self.judge = Judge(**{name: SETTINGS[name] for name in names})

    @bentoml.api(
        route="/infer",
        input_spec=Bodies,
        output_spec=Answers,
        batchable=SETTINGS["batch"] > 1,
        max_batch_size=max(SETTINGS["batch"], 2),
        max_latency_ms=30_000,
    )
    def infer(self, bodies: list[bytes]) -> list[bytes]:
        """Verdicts."""
        return self.judge(bodies)
