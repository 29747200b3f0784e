"""The dashboards as Grafana reads them: panels, queries, and variables put in as its Prometheus source does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
NAMES = ("overview", "models", "quality", "cost", "gpus")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    kind: str
    legend: str
    text: str
    instant: bool


def board(name: str) -> dict[str, Any]:
    """A dashboard's JSON."""
    found: dict[str, Any] = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text("utf-8"))
    return found


def panels(name: str) -> list[dict[str, Any]]:
    """All panels but the rows."""
    return [each for each in board(name)["panels"] if each["type"] != "row"]


def queries(panel: Mapping[str, Any], name: str) -> list[Query]:
    """What a panel asks."""
    return [
        Query(name, panel["title"], panel["type"], each["legendFormat"], each["expr"], each["instant"])
        for each in panel["targets"]
    ]


def every_query() -> Iterator[Query]:
    """Of all panels of all dashboards."""
    for name in NAMES:
        for panel in panels(name):
            yield from queries(panel, name)


def query(name: str, panel: str, legend: str = "") -> Query:
    """One by dashboard, panel and legend; without a legend, the first."""
    (found,) = (each for each in panels(name) if each["title"] == panel)
    return next(each for each in queries(found, name) if legend in ("", each.legend))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is chosen at the top of a dashboard, and its range.

    Attributes
    ----------
    step_s, range_s, scrape_s : float
        Between two points; of the whole range; between two scrapes.
    instance, level, model, gpu, recent, before, truth
        Values of the variables; several are an alternative, as Grafana makes of them.
    """

    instance: tuple[str, ...]
    step_s: float = 15
    range_s: float = 3600
    scrape_s: float = 15
    level: tuple[str, ...] = (".*",)
    model: tuple[str, ...] = (".*",)
    gpu: tuple[str, ...] = (".*",)
    recent: str = "30m"
    before: str = "1d"
    truth: str = "30d"

    def put_into(self, text: str) -> str:
        """The query that Grafana sends."""
        values = {
            "__rate_interval": _duration(max(self.step_s + self.scrape_s, 4 * self.scrape_s)),
            "__interval": _duration(self.step_s),
            "__range": _duration(self.range_s),
            "recent": self.recent,
            "before": self.before,
            "truth": self.truth,
            **{name: _alternatives(getattr(self, name)) for name in ("instance", "level", "model", "gpu")},
        }
        return re.sub(r"\$(\w+)", lambda found: values[found[1]], text)


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _alternatives(values: tuple[str, ...]) -> str:
    """Values within a regular expression within a string; what stands for all is put in as it is."""
    found = [each if each == ".*" else re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", each) for each in values]
    return found[0] if len(found) == 1 else f"({'|'.join(found)})"
