"""What all dashboards have: variables, links, annotations, and a grid that nothing overlaps in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from grafana_panels import SOURCE, TAG, Panel
from grafana_queries import EVERYWHERE, gauge

__all__ = ["board", "text_variable", "values_of"]

WIDTH: Final = 24


def values_of(name: str, label: str, series: str, about: str) -> build.QueryVariable:
    """A variable: the values that a label has in a series of the chosen instances."""
    where = "" if name == "instance" else f"{{{EVERYWHERE}}}"
    query: dict[str, object] = {
        "query": f"label_values(cascade_{series}{where}, {label})",
        "refId": "StandardVariableQuery",
    }
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    found = build.QueryVariable(name).label(name).description(about).datasource(SOURCE).query(query).multi(True)
    found = found.include_all(True).current(everything).refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    found = found.sort(model.VariableSort.NATURAL_ASC)
    return found if name == "instance" else found.all_value(".*")


def text_variable(name: str, label: str, about: str, values: Sequence[str]) -> build.CustomVariable:
    """A variable: one of some durations, the first to begin with; others may be typed in."""
    options = [model.VariableOption(selected=each == values[0], text=each, value=each) for each in values]
    found = build.CustomVariable(name).label(label).description(about).values(",".join(values))
    return found.current(options[0]).options(options).allow_custom_value(True)


def board(
    name: str,
    about: str,
    variables: Iterable[Any],
    rows: Mapping[str, Iterable[Panel]],
) -> model.Dashboard:
    """A dashboard with a stable uid.

    Parameters
    ----------
    name : str
        One word; the uid is made of it.
    about : str
        What it shows.
    variables : iterable
        Beside the data source and the instance.
    rows : dict
        Title to panels, left to right and top to bottom.
    """
    found = build.Dashboard(f"Natix Cascade / {name}").uid(f"{TAG}-{name.lower()}").description(about).tags([TAG])
    found = found.timezone("browser").time("now-3h", "now").refresh("30s").tooltip(model.DashboardCursorSync.CROSSHAIR)
    found = (
        found.editable().link(_to_all()).annotation(_policy_changes()).variables([_source(), _instance(), *variables])
    )
    number, top = 1, 0
    for title, panels in rows.items():
        found = found.with_row(build.Row(title).id(number).grid_pos(model.GridPos(h=1, w=WIDTH, x=0, y=top)))
        number, top, left, lowest = number + 1, top + 1, 0, 0
        for panel in panels:
            size = panel._internal.grid_pos  # noqa: SLF001  # builders have no way to ask
            if left + size.w > WIDTH:
                top, left, lowest = top + lowest, 0, 0
            found = found.with_panel(panel.id(number).grid_pos(model.GridPos(h=size.h, w=size.w, x=left, y=top)))
            number, left, lowest = number + 1, left + size.w, max(lowest, size.h)
        top += lowest
    return found.build()


class PolicyChanges(model.AnnotationQuery):
    """An annotation with the words that Grafana's Prometheus source knows and the SDK's class lacks."""

    def to_json(self) -> dict[str, object]:
        """As JSON."""
        words = {"titleFormat": "Policy", "textFormat": "{{policy}} of {{cascade}}", "tagKeys": "cascade,policy"}
        return {**super().to_json(), **words, "step": "15s"}


def _policy_changes() -> Any:
    now = f"max by (cascade, policy) ({gauge('policy_info')} == 1)"
    before = f"max by (cascade, policy) ({gauge('policy_info')} offset $__interval == 1)"
    change = PolicyChanges(
        name="Policy changes", datasource=SOURCE, icon_color="purple", expr=f"{now} unless {before}", hide=False
    )
    return _Built(change)


@dataclass
class _Built:
    """What is built already, for builders that want a builder."""

    it: Any

    def build(self) -> Any:
        """It."""
        return self.it


def _to_all() -> build.DashboardLink:
    found = build.DashboardLink("Natix Cascade").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return found.as_dropdown(False).include_vars(True).keep_time(True)


def _source() -> build.DatasourceVariable:
    about = "The Prometheus that scrapes the service"
    return build.DatasourceVariable("datasource").label("data source").description(about).type("prometheus")


def _instance() -> build.QueryVariable:
    return values_of("instance", "instance", "active_requests", "Services, as Prometheus reaches them")
