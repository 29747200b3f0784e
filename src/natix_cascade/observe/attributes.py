"""What stands in a span: OpenInference's names where it has one, ``natix.`` before all others. Pure.

Of a picture only its digest is told: what a client has named it may be a private path, so its name is taken out of
sentences too. What models have read or described in it (`Evidence.text`) is part of it and goes with its pixels.

See https://github.com/Arize-ai/openinference/tree/main/spec for the names without ``natix.``; the models of a cascade
are what it calls decision models: they choose among answers that are given, with a probability.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.observe.observation import Observation
from natix_cascade.run.events import Call, PictureFailed, VerdictGiven

__all__ = ["Attributes", "Value", "of_failure", "of_level", "of_model", "of_verdict", "said"]

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]

_KIND: Final = "openinference.span.kind"
_INPUT: Final = "input.value"
_INPUT_TYPE: Final = "input.mime_type"
_OUTPUT: Final = "output.value"
_OUTPUT_TYPE: Final = "output.mime_type"
_IMAGE: Final = "input.images.0.image.url"
_METADATA: Final = "metadata"
_MODEL: Final = "decision.model_name"
_SYSTEM: Final = "decision.system"
_JSON: Final = "application/json"
_LONGEST: Final = 1000  # letters of a sentence


def of_verdict(event: VerdictGiven, observation: Observation) -> Attributes:
    """Attributes of a request's span.

    Parameters
    ----------
    event : VerdictGiven
        Its verdict.
    observation : Observation
        Why it was kept; its picture, where pixels may be sent.
    """
    verdict = event.verdict
    image = {} if observation.picture is None else {_IMAGE: _data_url(observation.picture)}
    output = {
        "detected": verdict.detected,
        "probability": verdict.probability,
        "confidence": verdict.confidence,
        "exit_level": verdict.exit_level,
        "exit_reason": verdict.exit_reason,
    }
    metadata = {
        "cascade": verdict.cascade,
        "policy": verdict.policy,
        "exit_level": verdict.exit_level,
        "exit_reason": verdict.exit_reason,
        "degraded": verdict.degraded,
        "disputed": verdict.disagrees,
        "kept": observation.kept,
    }
    return {
        _KIND: "CHAIN",
        **_input(verdict),
        **image,
        **_output(output),
        _METADATA: _text(metadata),
        **_kept(event.call, observation),
        "natix.question": verdict.question,
        "natix.cascade": verdict.cascade,
        "natix.policy": verdict.policy,
        "natix.detected": verdict.detected,
        "natix.probability": verdict.probability,
        "natix.confidence": verdict.confidence,
        "natix.consensus_ratio": verdict.consensus_ratio,
        "natix.disputed": verdict.disagrees,
        "natix.degraded": verdict.degraded,
        "natix.exit_level": verdict.exit_level,
        "natix.exit_reason": verdict.exit_reason,
        "natix.levels": verdict.levels_executed,
        "natix.failed_models": verdict.failed_models,
        "natix.reasons": tuple(said(reason, verdict.id) for reason in verdict.reasons),
        "natix.waited_ms": event.waited_ms,
        "natix.latency_ms": verdict.latency_ms,
        "natix.cost_usd": verdict.cost_usd,
        "natix.gmacs": verdict.gmacs,
    }


def of_failure(event: PictureFailed, observation: Observation) -> Attributes:
    """Attributes of the span of a request without a verdict; see `of_verdict`."""
    return {
        _KIND: "CHAIN",
        **_output({"error": event.kind}),
        _METADATA: _text({"error": event.kind, "kept": observation.kept}),
        **_kept(event.call, observation),
        "natix.waited_ms": event.waited_ms,
        "natix.latency_ms": event.latency_ms,
    }


def of_level(verdict: Verdict, level: str, opinions: Sequence[Opinion]) -> Attributes:
    """Attributes of a level's span."""
    exited = verdict.exit_level == level
    output = {opinion.model: opinion.probability for opinion in opinions}
    return {
        _KIND: "CHAIN",
        **_input(verdict),
        **_output(output),
        "natix.level": level,
        "natix.exited": exited,
        "natix.models": tuple(output),
        "natix.cost_usd": sum(opinion.cost_usd for opinion in opinions),
    }


def of_model(verdict: Verdict, opinion: Opinion, *, seen: bool) -> Attributes:
    """Attributes of a model's span.

    Parameters
    ----------
    verdict : Verdict
        Which picture it was.
    opinion : Opinion
        What the model said.
    seen : bool
        Pixels may be sent, and then what was seen in them too.
    """
    output: dict[str, Any] = {"score": opinion.score, "probability": opinion.probability}
    if seen and opinion.evidence is not None:
        output["evidence"] = opinion.evidence.as_dict()
    if opinion.failure is not None:
        output = {"error": said(opinion.failure, verdict.id)}
    numbers = {
        "natix.score": opinion.score,
        "natix.probability": opinion.probability,
        "natix.queue_ms": opinion.queue_ms,
        "natix.batch_size": opinion.batch_size,
    }
    return {
        _KIND: "DECISION",
        _SYSTEM: "natix-cascade",
        _MODEL: opinion.model,
        **_input(verdict),
        **_output(output),
        "natix.level": opinion.level,
        "natix.latency_ms": opinion.latency_ms,
        "natix.cost_usd": opinion.cost_usd,
        **{name: value for name, value in numbers.items() if value is not None},
    }


def said(sentence: str, picture: str) -> str:
    """A sentence without the name of its picture, and not too long."""
    if picture:
        sentence = re.sub(rf"(?<!\w){re.escape(picture)}(?!\w)", "(picture)", sentence)
    return sentence if len(sentence) <= _LONGEST else sentence[: _LONGEST - 1] + "…"


def _kept(call: Call | None, observation: Observation) -> Attributes:
    """Which verdict it is, and how many such verdicts it stands for where it was drawn by chance."""
    is_counted = observation.kept == "chance" and observation.share > 0
    counted = {"natix.adjusted_count": 1 / observation.share} if is_counted else {}
    return {"natix.verdict_id": "" if call is None else call.id, "natix.kept": observation.kept, **counted}


def _input(verdict: Verdict) -> Attributes:
    return {_INPUT: f"sha256:{verdict.sha256}", _INPUT_TYPE: "text/plain"}


def _output(data: Mapping[str, Any]) -> Attributes:
    return {_OUTPUT: _text(data), _OUTPUT_TYPE: _JSON}


def _text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
