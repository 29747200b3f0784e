"""Each model: how much it is asked, how long it takes and waits, how often it fails."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.models.common import GraphDrawStyle

from grafana_board import board, values_of
from grafana_panels import Columns, View, heat_map, states, sums, trend
from grafana_queries import MODEL, gauge, increase, mean, quantile, rate, ratio, zero

__all__ = ["dashboard"]

_STATES = {0: ("closed", "green"), 1: ("half open", "yellow"), 2: ("open", "red")}
_ANSWERS = rate("model_latency_seconds_count", MODEL, by="model")
_FAILURES = rate("model_failures_total", MODEL, by="model")
_FAILED = ratio(
    zero(_FAILURES, like=_ANSWERS), f"({zero(_ANSWERS, like=_FAILURES)} + {zero(_FAILURES, like=_ANSWERS)})"
)
_BREAKERS = gauge("breaker_state", MODEL)


def dashboard() -> Any:
    """Build it."""
    model = values_of("model", "model", "model_latency_seconds_count", "Models of the cascade, by their cards' names")
    rows = {
        "Now": [_table()],
        "Breakers": _breakers(),
        "Answers": _answers(),
        "Latency": _latency(),
        "Waiting and batches": _waiting(),
    }
    return board("Models", "How the models answer: rate, time, queue, batches, failures, breakers.", [model], rows)


def _table() -> Any:
    columns: Columns = {
        "answers": [("unit", "cps"), ("decimals", 2)],
        "p95": [("unit", "s")],
        "p95 of the wait": [("unit", "s")],
        "batch": [("decimals", 1)],
        "failed": [("unit", "percentunit"), ("decimals", 2)],
        "breaker": [("mappings", None)],
    }
    return sums(
        View(
            title="Models now",
            about="Each model: answers a second, latency and, of it, waiting; pictures answered together; share of "
            "failures; its worst breaker. A model with failures: does its server live, is its address right? "
            "GET /v1/models has its last problem.",
            queries={
                "answers": _ANSWERS,
                "p95": quantile(0.95, "model_latency_seconds", MODEL, by="model"),
                "p95 of the wait": quantile(0.95, "queue_seconds", MODEL, by="model"),
                "batch": mean("batch_size", MODEL, by="model"),
                "failed": _FAILED,
                "breaker": f"max by (model) ({_BREAKERS})",
            },
            unit="short",
            size=(24, 8),
        ),
        columns,
        _STATES,
    )


def _breakers() -> list[Any]:
    return [
        states(
            View(
                title="Breakers",
                about="A model whose breaker is open is not asked; verdicts that need it are degraded. It is tried "
                "again by itself (half open) and closes at the first answers. Look at its server.",
                queries={"{{model}} {{replica}}": f"max by (model, replica) ({_BREAKERS})"},
                unit="short",
                size=(16, 8),
            ),
            _STATES,
        ),
        trend(
            View(
                title="Changes of breakers",
                about="By the state that came. One that opens and closes all the time: a server at its limit.",
                queries={"{{model}}: {{state}}": increase("breaker_changes_total", MODEL, by="model, state")},
                unit="short",
            ),
            draw=GraphDrawStyle.BARS,
        ),
    ]


def _answers() -> list[Any]:
    return [
        trend(
            View(
                title="Answers",
                about="A second, by model. Late models should answer far less than early ones; no more answers of one "
                "that is needed: see its breaker.",
                queries={"{{model}}": _ANSWERS},
                unit="cps",
            )
        ),
        trend(
            View(
                title="Failures",
                about="Answers a second that a model did not give: errors, time that ran out, an open breaker.",
                queries={"{{model}}": _FAILURES},
                unit="cps",
            )
        ),
        trend(
            View(
                title="Share of failures",
                about="Of what each model was asked. Dashed: 1 % and 5 %. Each failure of a required member degrades a "
                "verdict.",
                queries={"{{model}}": _FAILED},
                unit="percentunit",
                limits=(0.01, 0.05),
            )
        ),
    ]


def _latency() -> list[Any]:
    words = {50: "Half of the answers take", 95: "One in twenty takes", 99: "One in a hundred takes"}
    return [
        trend(
            View(
                title=f"p{q}",
                about=f"From question to answer, with the wait. {word} longer. If the wait rises too, it is load; "
                "if not, the model or its server has become slow.",
                queries={"{{model}}": quantile(q / 100, "model_latency_seconds", MODEL, by="model")},
                unit="s",
            )
        )
        for q, word in words.items()
    ]


def _waiting() -> list[Any]:
    found = [
        trend(
            View(
                title=f"p{q} of the wait",
                about="Before the model took the question up. Long waits: more replicas, larger batches, or fewer "
                "places with --max-in-flight.",
                queries={"{{model}}": quantile(q / 100, "queue_seconds", MODEL, by="model")},
                unit="s",
                size=(6, 8),
            )
        )
        for q in (50, 95)
    ]
    return [
        *found,
        trend(
            View(
                title="Batch",
                about="Pictures that were answered together, averaged over pictures. 1 under load: max_batch is 1 or "
                "the model answers faster than pictures come.",
                queries={"{{model}}": mean("batch_size", MODEL, by="model")},
                unit="short",
                size=(6, 8),
            )
        ),
        heat_map(
            View(
                title="Batches",
                about="Pictures by the size of the batch in which they were answered, over the chosen models. All in "
                "the highest bucket: a larger max_batch may pay.",
                queries={"{{le}}": increase("batch_size_bucket", MODEL, by="le")},
                unit="short",
                size=(6, 8),
            )
        ),
    ]
