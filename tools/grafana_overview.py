"""The first look: how much, how fast, how well, and what is at work."""

from __future__ import annotations

from typing import Any

from grafana_at_work import FIRING, OURS, at_work, itself
from grafana_board import board, values_of
from grafana_panels import View, number, trend
from grafana_queries import LEVEL, gauge, quantile, rate, ratio, zero

__all__ = ["dashboard"]

_ASKED = 'endpoint=~"/v1/(batch-)?infer"'
_VERDICTS = zero(rate("verdicts_total"))
_PICTURES = f"({_VERDICTS} + {zero(rate('total_errors_total'))})"


def dashboard() -> Any:
    """Build it."""
    level = values_of("level", "level", "verdicts_total", "Levels of the cascade; latency only")
    rows = {
        "Now": _now(),
        "Traffic": _traffic(),
        "Latency": _latency(),
        "Decisions": _decisions(),
        "At work": at_work(),
        "The service itself": itself(),
    }
    return board("Overview", "How much is asked, how fast and how well it is answered, and by what.", [level], rows)


def _now() -> list[Any]:
    small = (3, 5)
    failed = ratio(
        zero(rate("total_requests_total", _ASKED, 'status=~"5.."'), like=rate("total_requests_total", _ASKED)),
        rate("total_requests_total", _ASKED),
    )
    return [
        number(
            View(
                title="Verdicts",
                about="Verdicts a second. 0: nobody asks; no value: nothing is scraped.",
                queries={"verdicts": _VERDICTS},
                unit="cps",
                size=small,
            )
        ),
        number(
            View(
                title="Requests failed",
                about="Share of the requests for pictures that were answered 5xx. Above 2 % an alert fires: see the "
                "statuses below, then the log.",
                queries={"failed": failed},
                unit="percentunit",
                size=small,
                limits=(0.005, 0.02),
            )
        ),
        number(
            View(
                title="p99",
                about="One verdict in a hundred takes longer, over the chosen levels. Above 2 s an alert fires: see "
                "Latency below, then the models.",
                queries={"p99": quantile(0.99, "latency_seconds", LEVEL)},
                unit="s",
                size=small,
                limits=(1, 2),
                to="models",
            )
        ),
        number(
            View(
                title="Under way",
                about="Pictures under way. Where it stays at workers times --max-in-flight, more are refused: add "
                "workers or machines.",
                queries={"pictures": f"sum({gauge('active_requests')})"},
                unit="short",
                size=small,
                decimals=0,
            )
        ),
        number(
            View(
                title="Degraded",
                about="Share of the verdicts without all that should have been asked: less accurate than promised. A "
                "model fails or time runs out: see the models.",
                queries={"degraded": ratio(zero(rate("degraded_verdicts_total")), rate("verdicts_total"))},
                unit="percentunit",
                size=small,
                limits=(0.01, 0.05),
                to="models",
            )
        ),
        number(
            View(
                title="Out of time",
                about="Share of the pictures whose deadline passed, with a degraded verdict or none. See Latency; or "
                "clients send deadlines that the cascade cannot keep.",
                queries={"out of time": ratio(rate("deadline_misses_total"), _PICTURES)},
                unit="percentunit",
                size=small,
                limits=(0.001, 0.01),
            )
        ),
        number(
            View(
                title="Instances",
                about="Chosen services that Prometheus can scrape. Fewer than you run: one is down, or its key for "
                "/metrics is wrong.",
                queries={"up": 'sum(up{instance=~"$instance"})'},
                unit="short",
                size=small,
                limits=(1,),
                low=True,
                decimals=0,
            )
        ),
        number(
            View(
                title="Alerts",
                about=f"Alerts that fire, {OURS}, of all instances. The table below names them.",
                queries={"firing": f"count({FIRING}) or 0 * sum({gauge('active_requests')})"},
                unit="short",
                size=small,
                limits=(1,),
                decimals=0,
            )
        ),
    ]


def _traffic() -> list[Any]:
    return [
        trend(
            View(
                title="Requests",
                about="Requests a second by endpoint and status. 4xx is the client's, 5xx ours; 429: its rate is used "
                "up; 499: it has left; 503: full, draining, or models do not answer; 504: the deadline passed.",
                queries={"{{endpoint}} {{status}}": rate("total_requests_total", by="endpoint, status")},
                unit="reqps",
                size=(12, 8),
            )
        ),
        trend(
            View(
                title="Pictures without a verdict",
                about="A second, by what was at fault: the picture, the deadline, no model that answers, or something "
                "else, which the log explains. In a batch they are seen here only.",
                queries={"{{kind}}": rate("total_errors_total", by="kind")},
                unit="cps",
                size=(12, 8),
            )
        ),
        trend(
            View(
                title="Refused",
                about="Requests a second that were refused before their picture was read. full: add workers or "
                "machines; rate: a key has used up its rate; draining: the service leaves.",
                queries={"{{why}}": rate("rejected_requests_total", by="why")},
                unit="reqps",
            )
        ),
        trend(
            View(
                title="Under way, by instance",
                about="Pictures under way. One instance far above the others: the load balancer does not share.",
                queries={"{{instance}}": f"sum by (instance) ({gauge('active_requests')})"},
                unit="short",
            )
        ),
        trend(
            View(
                title="Degraded and out of time",
                about="Degraded verdicts by their level, as a share of all verdicts; pictures whose time ran out, as a "
                "share of all. The dashed lines are the alert on degraded ones (5 %) and what to look at (1 %).",
                queries={
                    "degraded at {{level}}": ratio(
                        rate("degraded_verdicts_total", by="level"), rate("verdicts_total"), shares=True
                    ),
                    "out of time: {{outcome}}": ratio(
                        rate("deadline_misses_total", by="outcome"), _PICTURES, shares=True
                    ),
                },
                unit="percentunit",
                limits=(0.01, 0.05),
                to="models",
            )
        ),
    ]


def _latency() -> list[Any]:
    about = "From the picture to its verdict, without the way through HTTP"
    all_levels = {f"p{q:g}": quantile(q / 100, "latency_seconds", LEVEL) for q in (50, 95, 99)}
    found = [
        trend(
            View(
                title="All chosen levels",
                about=f"{about}. A rise of all three: load or a slow machine; of p99 only: the last levels, or more "
                "pictures at them (see Decisions).",
                queries=all_levels,
                unit="s",
                size=(6, 8),
                limits=(1, 2),
            )
        )
    ]
    words = {50: "Half of them take", 95: "One in twenty takes", 99: "One in a hundred takes"}
    for q, word in words.items():
        view = View(
            title=f"p{q} by level",
            about=f"{about} at this level. {word} longer. A level that has become slow: see its models.",
            queries={"{{level}}": quantile(q / 100, "latency_seconds", LEVEL, by="level")},
            unit="s",
            size=(6, 8),
            limits=(1, 2),
            to="models",
        )
        found.append(trend(view))
    return found


def _decisions() -> list[Any]:
    whole = rate("verdicts_total")
    return [
        trend(
            View(
                title="Exits by level",
                about="Share of the verdicts by the level that gave them; all add up to 1. More at late levels: slower "
                "and dearer; a sudden change: see Quality.",
                queries={"{{level}}": ratio(rate("verdicts_total", by="level"), whole, shares=True)},
                unit="percentunit",
                to="quality",
            ),
            stacked=True,
            whole=True,
        ),
        trend(
            View(
                title="Exits by reason",
                about="Why verdicts were given there; all add up to 1. threshold, agreement and window are exits of "
                "the policy, last_level: no level was left; max_level: the client asked for no more; deadline and "
                "failure: see Degraded.",
                queries={"{{reason}}": ratio(rate("verdicts_total", by="reason"), whole, shares=True)},
                unit="percentunit",
            ),
            stacked=True,
            whole=True,
        ),
        trend(
            View(
                title="Verdicts that say yes",
                about="Share of them. It follows the pictures; a jump without a reason in them is drift: see Quality.",
                queries={"yes": ratio(rate("roadwork_detected_total"), whole)},
                unit="percentunit",
                most=1,
                to="quality",
            )
        ),
    ]
