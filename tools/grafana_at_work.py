"""Rows of the overview: what is at work and which alerts fire; how the service itself is."""

from __future__ import annotations

from typing import Any

from grafana_panels import View, states, sums, trend
from grafana_queries import gauge, increase, rate

__all__ = ["FIRING", "OURS", "at_work", "itself"]

_ALERTS = 'ALERTS{alertname=~"Cascade.*"}'
FIRING = 'ALERTS{alertname=~"Cascade.*",alertstate="firing"}'
OURS = "by alerts of deploy/prometheus/rules"


def at_work() -> list[Any]:
    """Cascade, policy, alerts."""
    policy = f"max by (cascade, policy) ({gauge('policy_info')})"
    return [
        states(
            View(
                title="Cascade and policy",
                about="What is at work, and what was before. Two at work at a time for more than a minute: a worker or "
                "an instance has not followed a reload.",
                queries={"{{cascade}}, {{policy}}": policy},
                unit="short",
                size=(12, 7),
            ),
            {1: ("at work", "green"), 0: ("before", "text")},
        ),
        states(
            View(
                title="Alerts over time",
                about=f"Alerts, {OURS}, of all instances. What to do about each: docs/how-to/monitor.md.",
                queries={"{{alertname}}": f"max by (alertname) ({FIRING}) or 0 * max by (alertname) ({_ALERTS})"},
                unit="short",
                size=(12, 7),
            ),
            {0: ("pending", "yellow"), 1: ("firing", "red")},
        ),
        sums(
            View(
                title="At work now",
                about="Instances by what is at work at them. They should all have the same.",
                queries={"instances": f"count by (cascade, policy) ({gauge('policy_info')} == 1)"},
                unit="short",
                size=(12, 6),
                decimals=0,
            ),
            {},
            {},
        ),
        sums(
            View(
                title="Alerts now",
                about=f"Alerts, {OURS}: those that wait for their time (pending) and those that fire.",
                queries={"alerts": f"count by (alertname, severity, alertstate) ({_ALERTS})"},
                unit="short",
                size=(12, 6),
                decimals=0,
            ),
            {},
            {},
        ),
    ]


def itself() -> list[Any]:
    """What the service could not do beside answering."""
    return [
        trend(
            View(
                title="Verdicts not stored",
                about="A second. They are answered, and nobody can give feedback on them: is the disk of --state full "
                "or slow?",
                queries={"not stored": rate("unstored_verdicts_total")},
                unit="cps",
                size=(6, 7),
                limits=(0.001,),
            )
        ),
        trend(
            View(
                title="Reloads",
                about="Changes of cascade or policy. refused: the new one could not be loaded, and the old one stays.",
                queries={"{{outcome}}": increase("reloads_total", by="outcome")},
                unit="short",
                size=(6, 7),
            )
        ),
        trend(
            View(
                title="Observations lost",
                about="A second. post: from a worker to the process that observes; another name: that observer is "
                "slow. Answers are not touched. Lower [observe] share.",
                queries={"{{observer}}": rate("observations_dropped_total", by="observer")},
                unit="cps",
                size=(6, 7),
                limits=(0.001,),
            )
        ),
        trend(
            View(
                title="Errors of observers",
                about="A second. What it was sending is lost; answers are not touched. The log names the reason.",
                queries={"{{observer}}": rate("observer_errors_total", by="observer")},
                unit="cps",
                size=(6, 7),
                limits=(0.001,),
            )
        ),
    ]
