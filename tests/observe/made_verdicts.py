"""Verdicts as tests want them, and the files and folders in which they come."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.decide.verdict import Opinion, Verdict

SCHEMA = """
PRAGMA user_version = 1;
CREATE TABLE verdicts (id TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE feedback (
  id TEXT PRIMARY KEY, verdict_id TEXT NOT NULL, created REAL NOT NULL, label INTEGER NOT NULL, note TEXT,
  was_right INTEGER NOT NULL, picture TEXT
) WITHOUT ROWID;
"""


def made(name: str = "a.jpg", probability: float = 0.9, *, boxes: tuple[Box, ...] = (), **changed: Any) -> Verdict:
    """A verdict of two models, of which the second was silent."""
    opinions = (
        Opinion("small:gate", "gate", 0.8, probability, 2.0, evidence=Evidence(boxes) if boxes else None),
        Opinion("large", "judge", None, None, 9.0, failure="it hung"),
    )
    values: dict[str, Any] = {
        "id": name,
        "sha256": name.encode().hex().ljust(64, "0")[:64],
        "question": "roadwork",
        "detected": probability > 0.5,
        "probability": probability,
        "confidence": max(probability, 1 - probability),
        "consensus_ratio": 1.0,
        "exit_level": "judge",
        "levels_executed": ("gate", "judge"),
        "opinions": opinions,
        "latency_ms": 11.5,
        "cost_usd": 0.001,
        "gmacs": 0.5,
        "degraded": True,
        "reasons": ("large failed",),
        "cascade": "made@1",
        "policy": "none",
        "exit_reason": "last_level",
    }
    return Verdict(**{**values, **changed})


def answer(name: str, verdict: Verdict, **more: Any) -> dict[str, Any]:
    """What a service says: `name` is the verdict's id there."""
    beside = {"verdict_id": name, "created": "2026-05-04T03:02:01.000Z", "place": None, "label": None, "stored": True}
    return {**beside, **verdict.as_dict(), **more}


def state(folder: Path, answers: list[dict[str, Any]], feedback: list[tuple[Any, ...]] = ()) -> Path:  # type: ignore[assignment]
    """A state folder as a service leaves it; feedback is verdict's id, time, label, note, picture."""
    folder.mkdir()
    file = sqlite3.connect(folder / "service.sqlite")
    file.executescript(SCHEMA)
    file.executemany("INSERT INTO verdicts VALUES (?, ?)", [(a["verdict_id"], json.dumps(a).encode()) for a in answers])
    rows = [
        (str(number), name, at, label, note, 0, kept) for number, (name, at, label, note, kept) in enumerate(feedback)
    ]
    file.executemany("INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    file.commit()
    file.close()
    return folder
