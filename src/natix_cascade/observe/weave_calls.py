"""What Weave is told, as plain data: verdicts as finished calls, feedback and scores as feedback on them.

Ids follow from the verdict's id, so that whoever knows a verdict finds its call, in this process or in a later one. The
fields are those of Weave's service API, https://docs.wandb.ai/weave/reference/service-api. Pixels are never among them,
nor what a client called its picture.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.observe.observation import Observation
from natix_cascade.run.events import Call, FeedbackGiven, PictureFailed, ScoreGiven, VerdictGiven
from natix_cascade.trace import TraceContext, made_at

__all__ = [
    "ASK",
    "DETECT",
    "JUDGE",
    "TRUTH",
    "call_id",
    "failed_calls",
    "halves",
    "judge_object",
    "late_calls",
    "observed_calls",
    "score_feedback",
    "truth_feedback",
    "verdict_calls",
]

DETECT: Final = "natix_cascade.detect"
ASK: Final = "natix_cascade.ask"
TRUTH: Final = "natix_cascade.truth"
JUDGE: Final = "natix-judge"
_RUNNABLE: Final = "wandb.runnable."  # feedback whose author is a program that Weave knows as an object
_REACTION: Final = "wandb.reaction.1"
_THUMBS: Final = ("\N{THUMBS DOWN SIGN}", "\N{THUMBS UP SIGN}")
_LONGEST_TITLE: Final = 128


def call_id(verdict_id: str) -> str:
    """The id of a verdict's call: the same 128 bits, written as a UUID."""
    return str(uuid.UUID(hex=verdict_id))


def verdict_calls(event: VerdictGiven, kept: str, project: str) -> list[dict[str, Any]]:
    """A verdict's call, behind one for each model that was asked.

    Parameters
    ----------
    event : VerdictGiven
        The verdict.
    kept : str
        Why it is kept; see `Observation.kept`.
    project : str
        ``entity/project``.

    Returns
    -------
    list of dict
        Finished calls; the verdict's own is the last one, so that where it is written, all are.
    """
    call = event.call or Call.begin()
    return _calls(event.verdict, call, kept, project)


def late_calls(event: FeedbackGiven, project: str) -> list[dict[str, Any]]:
    """As `verdict_calls`, for a verdict that was not kept until somebody told the truth about it."""
    began = made_at(event.verdict_id) or event.created
    call = Call(event.verdict_id, began, TraceContext.of_request(event.verdict_id))
    return _calls(event.verdict, call, "feedback", project)


def failed_calls(event: PictureFailed, kept: str, project: str) -> list[dict[str, Any]]:
    """The call of a picture that has no verdict; arguments as for `verdict_calls`."""
    call = event.call or Call.begin()
    return [
        {
            **_head(call, project, DETECT, "no verdict"),
            **_times(call.began, event.latency_ms),
            "attributes": _attributes(call, kept),
            "inputs": {},
            "exception": _exception(event.kind, str(event.error)),
            "summary": _summary(event.latency_ms, 0.0, (0, 1)),
        }
    ]


def halves(call: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A finished call as its beginning and its end, which older servers want one by one."""
    ends = ("ended_at", "output", "summary", "exception")
    start = {key: value for key, value in call.items() if key not in ends}
    end = {key: call[key] for key in ("project_id", "id", *ends) if key in call}
    return {"mode": "start", "req": {"start": start}}, {"mode": "end", "req": {"end": end}}


def truth_feedback(event: FeedbackGiven, project: str) -> list[dict[str, Any]]:
    """What somebody said of a verdict, and a thumb up or down, which Weave shows beside the call."""
    told = {
        "was_right": event.was_right,
        "label": event.label,
        "note": event.note,
        "detected": event.verdict.detected,
        "probability": event.verdict.probability,
        "created": _time(event.created),
    }
    about = event.verdict_id, f"{event.created!r}"
    return [
        _feedback(event.verdict_id, project, TRUTH, told, _derived("truth", *about)),
        _feedback(event.verdict_id, project, _REACTION, {"emoji": _THUMBS[event.was_right]}, _derived("thumb", *about)),
    ]


def judge_object(event: ScoreGiven, project: str) -> dict[str, Any]:
    """The judge, as an object of the project; it has a version for each model and rubric."""
    value = {"name": JUDGE, "judge": event.judge, "rubric": event.rubric}
    return {"project_id": project, "object_id": JUDGE, "val": value}


def score_feedback(event: ScoreGiven, project: str, digest: str) -> dict[str, Any]:
    """A score, as the judge's feedback.

    Parameters
    ----------
    event : ScoreGiven
        The score.
    project : str
        ``entity/project``.
    digest : str
        Of `judge_object`, as the server said.
    """
    output = {
        "score": event.score,
        "reason": event.reason,
        "judge": event.judge,
        "rubric": event.rubric,
        "by_chance": event.by_chance,
        "abstained": event.score is None and event.failure is None,
        "failure": event.failure,
        "cost_usd": event.cost_usd,
        "latency_ms": event.latency_ms,
    }
    name = _derived("score", event.verdict_id, event.judge, event.rubric)
    item = _feedback(event.verdict_id, project, f"{_RUNNABLE}{JUDGE}", {"output": output}, name)
    return {**item, "runnable_ref": f"weave:///{project}/object/{JUDGE}:{digest}"}


def observed_calls(observation: Observation, project: str) -> list[dict[str, Any]]:
    """The calls of an observation; none for what is no end of a picture's way."""
    match observation.event:
        case VerdictGiven() as given:
            return verdict_calls(given, observation.kept, project)
        case PictureFailed() as failed:
            return failed_calls(failed, observation.kept, project)
    return []


def _calls(verdict: Verdict, call: Call, kept: str, project: str) -> list[dict[str, Any]]:
    failed = len(verdict.failed_models)
    answered = len(verdict.opinions) - failed
    asked = [_asked(opinion, call, project, place) for place, opinion in enumerate(verdict.opinions)]
    whole = {
        **_head(call, project, DETECT, f"{verdict.question}: {'yes' if verdict.detected else 'no'}"),
        **_times(call.began, verdict.latency_ms),
        "attributes": _attributes(call, kept),
        "inputs": {"picture": verdict.sha256, "cascade": verdict.cascade, "policy": verdict.policy},
        "output": _output(verdict),
        "summary": _summary(verdict.latency_ms, verdict.cost_usd, (answered + 1, failed))
        | {"usage": {opinion.model: {"requests": 1} for opinion in verdict.opinions}},
    }
    return [*asked, whole]


def _asked(opinion: Opinion, call: Call, project: str, place: int) -> dict[str, Any]:
    head = _head(call, project, ASK, opinion.model)
    failed = opinion.failure is not None
    about = {"verdict_id": call.id, "level": opinion.level, "model": opinion.model}
    return {
        **head,
        **_times(call.began + (opinion.began_ms or 0.0) / 1000, opinion.latency_ms),
        "id": _derived("ask", call.id, opinion.model, str(place)),
        "parent_id": head["id"],
        "attributes": {"natix": about},
        "inputs": {"model": opinion.model, "level": opinion.level},
        "output": None if failed else opinion.as_dict(),
        "summary": _summary(opinion.latency_ms, opinion.cost_usd, (int(not failed), int(failed))),
        **({"exception": _exception("ModelError", opinion.failure)} if opinion.failure is not None else {}),
    }


def _output(verdict: Verdict) -> dict[str, Any]:
    return {
        "question": verdict.question,
        "detected": verdict.detected,
        "probability": verdict.probability,
        "confidence": verdict.confidence,
        "consensus": verdict.consensus_ratio,
        "exit_level": verdict.exit_level,
        "exit_reason": verdict.exit_reason,
        "levels": list(verdict.levels_executed),
        "latency_ms": round(verdict.latency_ms, 3),
        "cost_usd": verdict.cost_usd,
        "degraded": verdict.degraded,
        "reasons": list(verdict.reasons),
        "opinions": {
            opinion.model: {key: value for key, value in opinion.as_dict().items() if key != "evidence"}
            for opinion in verdict.opinions
        },
    }


def _head(call: Call, project: str, op_name: str, title: str) -> dict[str, Any]:
    name = call_id(call.id)
    return {
        "project_id": project,
        "id": name,
        "trace_id": name,
        "op_name": op_name,
        "display_name": title[:_LONGEST_TITLE],
    }


def _attributes(call: Call, kept: str) -> dict[str, Any]:
    trace = call.trace
    natix = {"verdict_id": call.id, "trace_id": trace.trace_id, "span_id": trace.span_id, "kept": kept}
    return {"natix": natix}


def _summary(latency_ms: float, cost_usd: float, counts: tuple[int, int]) -> dict[str, Any]:
    ends = dict(zip(("success", "error"), counts, strict=True))
    return {
        "usage": {},
        "status_counts": ends,
        "natix": {"latency_ms": round(latency_ms, 3), "cost_usd": cost_usd},
    }


def _times(began: float, latency_ms: float) -> dict[str, str]:
    return {"started_at": _time(began), "ended_at": _time(began + latency_ms / 1000)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _exception(kind: str, said: str) -> str:
    return json.dumps({"type": kind, "message": said})


def _feedback(verdict_id: str, project: str, kind: str, payload: dict[str, Any], name: str) -> dict[str, Any]:
    ref = f"weave:///{project}/call/{call_id(verdict_id)}"
    return {"id": name, "project_id": project, "weave_ref": ref, "feedback_type": kind, "payload": payload}


def _derived(*about: str) -> str:
    """An id that follows from what it is about."""
    return str(uuid.UUID(bytes=blake2b("\0".join(about).encode(), digest_size=16).digest()))
