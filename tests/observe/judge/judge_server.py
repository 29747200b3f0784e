"""A chat server that pretends to be a judge, and verdicts for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from natix_cascade.decide.evidence import Evidence
from natix_cascade.decide.verdict import Opinion, Verdict
from natix_cascade.image import encode_jpeg
from natix_cascade.observe.observation import Kept, Observation
from natix_cascade.run.events import Call, VerdictGiven
from natix_cascade.testing.chat import PretendedChat, _RefusalError

PICTURE = encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
COUNTED = {"prompt_tokens": 1000, "completion_tokens": 50}


def said(score: Any = 0.9, reason: Any = "Cones close the lane.", *, abstain: Any = False, key: str = "score") -> str:
    return json.dumps({"reason": reason, "abstain": abstain, key: score})


class JudgeServer(PretendedChat):
    """Says `says` to every question.

    Attributes
    ----------
    refuses : set of str
        Of ``json_schema``, ``structured_outputs``, ``extras``, ``max_tokens``, ``all``: what it answers 400 to.
    usage : dict or None
        Told with each answer.
    finish : str
        Its ``finish_reason``.
    """

    def __init__(self, says: str | Callable[[dict[str, Any]], str] | None = None, **more: Any) -> None:
        super().__init__(says=says or said(), models=("judge",), **more)
        self.refuses: set[str] = set()
        self.usage: Any = COUNTED
        self.finish = "stop"

    def _answered(self, request: dict[str, Any]) -> dict[str, Any]:
        form = (request.get("response_format") or {}).get("type")
        found = {
            "json_schema": form == "json_schema",
            "structured_outputs": "structured_outputs" in request,
            "extras": "chat_template_kwargs" in request,
            "max_tokens": "max_tokens" in request,
            "all": True,
        }
        wrong = [name for name, there in found.items() if there and name in self.refuses]
        if wrong:
            raise _RefusalError(400, f"unsupported: {wrong[0]}")
        text = self.says(request) if callable(self.says) else self.says
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": self.finish}
        return {
            "object": "chat.completion",
            "choices": [choice],
            **({} if self.usage is None else {"usage": self.usage}),
        }


def text_of(request: dict[str, Any]) -> str:
    """What a request says after the picture."""
    return str(request["messages"][1]["content"][1]["text"])


def verdict(
    *, yes: bool = True, text: str | None = None, degraded: bool = False, question: str = "roadwork"
) -> Verdict:
    opinion = Opinion("looker", "1", 0.9, 0.9, 3.0, evidence=Evidence(text=text) if text else None)
    return Verdict(
        id="street.jpg",
        sha256="0" * 64,
        question=question,
        detected=yes,
        probability=0.9 if yes else 0.1,
        confidence=0.9,
        consensus_ratio=1.0,
        exit_level="1",
        levels_executed=("1",),
        opinions=(opinion,),
        latency_ms=5.0,
        cost_usd=0.0,
        gmacs=0.1,
        degraded=degraded,
        reasons=(),
        cascade="embedded@1",
        policy="plain@1",
    )


def observation(
    kept: Kept = "chance", *, picture: bytes | None = PICTURE, call: Call | None = None, **more: Any
) -> Observation:
    return Observation(VerdictGiven(verdict(**more), call or Call.begin()), kept, picture)


def until(done: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
