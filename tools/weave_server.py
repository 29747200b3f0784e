"""A Weave trace server on this machine: to try Weave, and to test what is sent to it, without the hosted service.

Weave's package carries a trace server over SQLite and the routes in front of it, but nothing that runs them. This puts
them together, on 127.0.0.1 only, and answers the few questions about identity that ``weave.init`` asks. There are no
users and no web page: what was sent is read back with the client. Needs ``weave[trace-server]`` of the release that
requirements-observe.txt names, for client and server alike: newer clients send fields that this server refuses.

::

    python tools/weave_server.py --port 8081 --database traces.db
    export WANDB_BASE_URL=http://127.0.0.1:8081 WF_TRACE_SERVER_URL=http://127.0.0.1:8081
    export WANDB_API_KEY=0000000000000000000000000000000000000000  # any 40 characters
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from weave.trace_server import trace_server_interface as wire
from weave.trace_server.external_to_internal_trace_server_adapter import ExternalTraceServer, IdConverter
from weave.trace_server.reference.generate import ServiceDependency, generate_routes, generate_v2_routes
from weave.trace_server.sqlite_trace_server import SqliteTraceServer
from weave.trace_server.trace_service import ServerInfoRes

__all__ = ["application", "main"]

HOST = "127.0.0.1"
USER = "local"
_STREAMS = (
    "calls_query_stream", "table_query_stream", "threads_query_stream", "op_list", "dataset_list", "scorer_list",
    "evaluation_list", "model_list", "evaluation_run_list", "prediction_list", "score_list",
)  # fmt: skip


class HexNames(IdConverter):
    """Names as the store keeps them: references separate their parts by slashes, so that "entity/project" is in hex."""

    def ext_to_int_project_id(self, project_id: str) -> str:
        """A project's name, in hex."""
        return project_id.encode().hex()

    def int_to_ext_project_id(self, project_id: str) -> str:
        """A project's name again."""
        return bytes.fromhex(project_id).decode()

    def ext_to_int_run_id(self, run_id: str) -> str:
        """A run's name, in hex."""
        return run_id.encode().hex()

    def int_to_ext_run_id(self, run_id: str) -> str:
        """A run's name again."""
        return bytes.fromhex(run_id).decode()

    def ext_to_int_user_id(self, user_id: str) -> str:
        """A user's name as it is."""
        return user_id

    def int_to_ext_user_id(self, user_id: str) -> str:
        """A user's name as it is."""
        return user_id


class LocalTraceServer(ExternalTraceServer):
    """The store behind the names that clients use; everything is done by one user.

    A client sends from several threads, and the end of a call may overtake its beginning: the hosted service puts the
    two together, the SQLite store would lose the end. Here it waits, in memory, for its beginning.
    """

    def __init__(self, store: SqliteTraceServer, names: IdConverter) -> None:
        super().__init__(store, names)
        self._order = threading.Lock()
        self._early: dict[str, wire.CallEndReq] = {}

    def call_start(self, req: wire.CallStartReq) -> wire.CallStartRes:
        """Begin a call, and end it if its end was here first."""
        with self._order:
            begun = super().call_start(req)
            early = self._early.pop(begun.id, None)
            if early is not None:
                super().call_end(early)
        return begun

    def call_end(self, req: wire.CallEndReq) -> wire.CallEndRes:
        """End a call, at once or as soon as it has begun."""
        with self._order:
            if self.call_read(wire.CallReadReq(project_id=req.end.project_id, id=req.end.id)).call is not None:
                return super().call_end(req)
            self._early[req.end.id] = req
        return wire.CallEndRes()

    def call_start_batch(self, req: wire.CallCreateBatchReq) -> wire.CallCreateBatchRes:
        """Begin and end calls in the order given: the base class leaves batches out."""
        done = [self.call_start(one.req) if one.mode == "start" else self.call_end(one.req) for one in req.batch]
        return wire.CallCreateBatchRes(res=done)

    def feedback_create(self, req: wire.FeedbackCreateReq) -> wire.FeedbackCreateRes:
        """Write feedback down, as given by the one user."""
        req.wb_user_id = req.wb_user_id or USER
        return super().feedback_create(req)

    def feedback_create_batch(self, req: wire.FeedbackCreateBatchReq) -> wire.FeedbackCreateBatchRes:
        """Write many pieces of feedback down."""
        for one in req.batch:
            one.wb_user_id = one.wb_user_id or USER
        return super().feedback_create_batch(req)

    def feedback_replace(self, req: wire.FeedbackReplaceReq) -> wire.FeedbackReplaceRes:
        """Replace feedback."""
        req.wb_user_id = req.wb_user_id or USER
        return super().feedback_replace(req)


class Lines:
    """A trace server whose streams are lines of JSON: the routes hand on whatever it yields."""

    def __init__(self, server: LocalTraceServer) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        """Everything else is the trace server's own."""
        found = getattr(self._server, name)
        return _as_lines(found) if name in _STREAMS else found


class LocalService:
    """What Weave's routes ask for: the trace server, and which clients it knows."""

    def __init__(self, database: Path) -> None:
        store = SqliteTraceServer(str(database))
        store.setup_tables()
        self.trace_server_interface = Lines(LocalTraceServer(store, HexNames()))

    def server_info(self) -> ServerInfoRes:
        """Any client may try."""
        return ServerInfoRes(min_required_weave_python_version="0.0.1")

    def read_root(self) -> dict[str, str]:
        """It lives."""
        return {"status": "ok"}


def application(database: Path) -> FastAPI:
    """The trace server's routes over one SQLite file, and an identity for everybody.

    Parameters
    ----------
    database : Path
        SQLite file; made if absent.

    Returns
    -------
    FastAPI
        The application.
    """
    service = LocalService(database)
    dependency = ServiceDependency(service_factory=lambda _: service)
    app = FastAPI(strict_content_type=False)  # the client posts JSON without saying that it is JSON
    app.include_router(generate_routes(APIRouter(), dependency))
    app.include_router(generate_v2_routes(APIRouter(prefix="/v2"), dependency))
    app.post("/graphql")(_identity)
    return app


def main(port: int, database: Path) -> None:
    """Serve until stopped.

    Parameters
    ----------
    port : int
        Port on 127.0.0.1.
    database : Path
        SQLite file; made if absent.
    """
    uvicorn.run(application(database), host=HOST, port=port, log_level="warning")


async def _identity(question: dict[str, Any]) -> dict[str, Any]:
    """Answer every question of ``weave.init``: who asks, is there such a project, make one."""
    project = {"name": question.get("variables", {}).get("name") or "project", "description": None}
    return {
        "data": {
            "viewer": {"username": USER, "defaultEntity": {"name": USER}},
            "project": project,
            "upsertModel": {"model": project},
        }
    }


def _as_lines(stream: Callable[[Any], Iterator[BaseModel]]) -> Callable[[Any], Iterator[str]]:
    def lines(request: Any) -> Iterator[str]:
        return (f"{item.model_dump_json()}\n" for item in stream(request))

    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A Weave trace server over SQLite, on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--database", type=Path, default=Path("weave.db"))
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    main(given.port, given.database)
