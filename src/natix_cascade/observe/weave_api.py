"""The few questions to a Weave trace server that logging needs, over its documented service API.

Weave's own client gives a call the time at which it was told of it, and an id by chance; over HTTP both are ours, and
nothing but an HTTP client lies in memory. See https://docs.wandb.ai/weave/reference/service-api.
"""

from __future__ import annotations

import http
import json
from collections.abc import Collection, Sequence
from typing import Any, Final

from natix_cascade.errors import CascadeError
from natix_cascade.observe.weave_calls import halves

__all__ = ["RefusedError", "TraceServer", "UnreachableError"]

_USER: Final = "api"  # the name that goes with every key
_CONNECT_S, _ANSWER_S = 3.0, 10.0
_LATER: Final = frozenset({401, 403, 404, 408, 425, 429, 502, 503, 504})
_QUOTED: Final = 200  # characters of an answer in an error


class UnreachableError(CascadeError):
    """The server does not answer, or will not now: worth another try."""


class RefusedError(CascadeError):
    """The server answered that it does not take this.

    Attributes
    ----------
    status : int
        HTTP status; 500 and more may be the server's own fault.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class TraceServer:
    """A project on a trace server.

    Parameters
    ----------
    url : str
        Of the trace server.
    project : str
        ``entity/project``.
    key : str or None
        Its key.
    """

    def __init__(self, url: str, project: str, key: str | None) -> None:
        import httpx  # noqa: PLC0415  # only where Weave is wanted

        self._url, self.project = url.rstrip("/"), project
        self._error: type[Exception] = httpx.HTTPError
        self._http = httpx.Client(
            auth=(_USER, key) if key else None,
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            follow_redirects=False,
        )
        self._whole = True  # takes calls whole; older ones want their beginnings and ends
        self._batches = True  # takes feedback in batches; older ones want each alone

    def write_calls(self, calls: Sequence[dict[str, Any]], begun: Collection[str] = ()) -> None:
        """Write finished calls.

        Parameters
        ----------
        calls : sequence of dict
            See `weave_calls.verdict_calls`.
        begun : collection of str
            Ids of those that the server knows, without their end.

        Raises
        ------
        UnreachableError, RefusedError
            Not all of them are written.
        """
        if self._whole:
            answer = self._post(f"/v2/{self.project}/calls/complete", {"batch": calls}, may_lack=True)
            if answer is not None:
                return
            self._whole = False
        parts = [part for call in calls for part in halves(call)[call["id"] in begun :]]
        self._post("/call/upsert_batch", {"batch": parts})

    def written(self, ids: Sequence[str]) -> dict[str, bool]:
        """Which calls the server has, and whether they are finished."""
        asked = {
            "project_id": self.project,
            "filter": {"call_ids": list(ids)},
            "columns": ["id", "ended_at"],
            "limit": len(ids),
        }
        lines = (self._post("/calls/stream_query", asked) or "").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        return {row["id"]: row.get("ended_at") is not None for row in rows}

    def write_feedback(self, items: Sequence[dict[str, Any]]) -> None:
        """Write feedback; see `weave_calls.truth_feedback`. Errors as for `write_calls`."""
        if self._batches:
            if self._post("/feedback/batch/create", {"batch": items}, may_lack=True) is not None:
                return
            self._batches = False
        for item in items:
            self._post("/feedback/create", item)

    def written_feedback(self, ids: Sequence[str]) -> set[str]:
        """Which of these pieces of feedback the server has."""
        matches = [{"$eq": [{"$getField": "id"}, {"$literal": one}]} for one in ids]
        query = {"$expr": {"$or": matches}}
        answer = self._post("/feedback/query", {"project_id": self.project, "fields": ["id"], "query": query})
        return {row["id"] for row in json.loads(answer or "{}")["result"]}

    def write_object(self, thing: dict[str, Any]) -> str:
        """Write an object, which has a version for each value; its digest."""
        return str(json.loads(self._post("/obj/create", {"obj": thing}) or "{}")["digest"])

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _post(self, path: str, body: dict[str, Any], *, may_lack: bool = False) -> str | None:
        """The answer's text; None: there is no such path, and `may_lack` says that this may be."""
        content = json.dumps(body).encode()
        try:
            answer = self._http.post(self._url + path, content=content, headers={"content-type": "application/json"})
        except self._error as error:
            raise UnreachableError(
                f"Weave at {self._url} does not answer ({type(error).__name__}: {error}); it is tried again"
            ) from None
        status = answer.status_code
        if status < http.HTTPStatus.MULTIPLE_CHOICES:
            return answer.text
        if may_lack and status in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.METHOD_NOT_ALLOWED}:
            return None
        said = f"{answer.text[:_QUOTED]}"
        if status in _LATER:
            raise UnreachableError(f"Weave at {self._url} answered {status} to {path}: {said}; it is tried again")
        raise RefusedError(f"Weave at {self._url} answered {status} to {path}: {said}", status)
