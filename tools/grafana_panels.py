"""Kinds of panels, and what every one of them says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import barchart as bars
from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "SOURCE",
    "TAG",
    "Columns",
    "Panel",
    "View",
    "bar_chart",
    "bar_gauge",
    "heat_map",
    "link",
    "number",
    "states",
    "sums",
    "trend",
]

TAG: Final = "natix-cascade"
SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, RED = "green", "yellow", "red"
Columns = Mapping[str, Sequence[tuple[str, Any]]]
Panel = Any  # the builders of panels share no base but this


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What every panel says.

    Attributes
    ----------
    title, about : str
        Its title, and what it means and what to do.
    queries : dict
        Legend to PromQL.
    unit : str
        As Grafana names it.
    size : (int, int)
        Width of 24, and height.
    limits : tuple of float
        Where it becomes yellow, and where red; one: red; none: it is neither good nor bad.
    low : bool
        Low values are the bad ones: then red below the first, yellow below the second.
    most, decimals
        The upper end of its axis, and digits after the point.
    to : str
        The dashboard that tells more.
    """

    title: str
    about: str
    queries: Mapping[str, str]
    unit: str
    size: tuple[int, int] = (8, 8)
    limits: tuple[float, ...] = ()
    low: bool = False
    most: float | None = None
    decimals: int | None = None
    to: str = ""


def trend(view: View, *, stacked: bool = False, whole: bool = False, draw: kinds.GraphDrawStyle | None = None) -> Panel:
    """Lines over time; `stacked` upon each other; `whole`: they are shares of 1."""
    legend = common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST).show_legend(True).calcs([])
    many = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
    panel = _common(timeseries.Panel(), view).legend(legend.placement(kinds.LegendPlacement.BOTTOM)).tooltip(many)
    panel = panel.draw_style(draw or kinds.GraphDrawStyle.LINE).line_width(1).show_points(kinds.VisibilityMode.AUTO)
    panel = panel.fill_opacity(60 if stacked else 8).axis_soft_min(0)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if whole:
        panel = panel.max(1)
    line = kinds.GraphThresholdsStyleMode.DASHED if view.limits else kinds.GraphThresholdsStyleMode.OFF
    panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(line))
    return _asked(panel, view)


def number(view: View, *, over_range: bool = False) -> Panel:
    """The latest value, with its course behind it; `over_range`: the query is itself over the whole range."""
    mode = kinds.BigValueGraphMode.NONE if over_range else kinds.BigValueGraphMode.AREA
    panel = _common(stat.Panel(), view).graph_mode(mode).color_mode(kinds.BigValueColorMode.VALUE)
    panel = panel.reduce_options(_last()).text_mode(kinds.BigValueTextMode.AUTO).no_value("none")
    return _asked(panel, view, instant=over_range)


def bar_gauge(view: View, *, histogram: bool = False) -> Panel:
    """A bar for each value over the whole range; `histogram`: the buckets of one, each without those below."""
    panel = _common(bargauge.Panel(), view).display_mode(kinds.BarGaugeDisplayMode.BASIC).reduce_options(_last())
    panel = panel.orientation(kinds.VizOrientation.HORIZONTAL).show_unfilled(True).no_value("none")
    return _asked(panel, view, instant=True, layout=PromQueryFormat.HEATMAP if histogram else None)


def heat_map(view: View, *, each: str = "") -> Panel:
    """Buckets of a histogram over time; `each`: the variable for each of whose values there is one."""
    even = common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LINEAR)
    axis = heatmap.YAxisConfig().unit(view.unit).axis_placement(kinds.AxisPlacement.LEFT)
    colours = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues").steps(64).fill("blue")
    colours = colours.scale(heat.HeatmapColorScale.EXPONENTIAL).exponent(0.5).reverse(False)
    panel = _common(heatmap.Panel(), view).y_axis(axis).calculate(False).color(colours).show_legend()
    panel = panel.cell_gap(1).scale_distribution(even).mode(kinds.TooltipDisplayMode.SINGLE).show_y_histogram()
    if each:
        panel = panel.repeat(each).repeat_direction("h").max_per_row(3)
    return _asked(panel, view, layout=PromQueryFormat.HEATMAP)


def states(view: View, words: Mapping[int, tuple[str, str]]) -> Panel:
    """A band for each series, coloured by state; `words` are number to (word, colour)."""
    legend = common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST).show_legend(False).calcs([])
    panel = _common(statetimeline.Panel(), view).mappings(_mapped(words)).show_value(kinds.VisibilityMode.AUTO)
    panel = (
        panel.merge_values(True)
        .row_height(0.8)
        .line_width(0)
        .fill_opacity(70)
        .legend(legend.placement(kinds.LegendPlacement.BOTTOM))
    )
    return _asked(panel, view)


def bar_chart(view: View, along: str) -> Panel:
    """Bars along a label, one for each query; the queries are over the whole range."""
    panel = _common(bars.Panel(), view).x_field(along).orientation(kinds.VizOrientation.VERTICAL)
    panel = (
        panel.group_width(0.8)
        .fill_opacity(80)
        .line_width(1)
        .gradient_mode(kinds.GraphGradientMode.NONE)
        .show_value(kinds.VisibilityMode.NEVER)
        .stacking(kinds.StackingMode.NONE)
    )
    return _joined(_asked(panel, view, instant=True, layout=PromQueryFormat.TABLE), view)


def sums(view: View, columns: Columns, words: Mapping[int, tuple[str, str]]) -> Panel:
    """A table with a column for each query; `columns` are properties of single ones, `words` those of states."""
    panel = _common(table.Panel(), view).show_header(True).filterable(True)
    for name, properties in columns.items():
        found = [model.DynamicConfigValue(id_val=key, value=value) for key, value in properties]
        if any(key == "mappings" for key, _ in properties):
            found = [each for each in found if each.id_val != "mappings"]
            found.append(model.DynamicConfigValue(id_val="mappings", value=_mapped(words)))
            colour = {"type": "color-text"}
            found.append(model.DynamicConfigValue(id_val="custom.cellOptions", value=colour))
        panel = panel.override_by_name(name, found)
    return _joined(_asked(panel, view, instant=True, layout=PromQueryFormat.TABLE), view)


def link(uid: str) -> build.DashboardLink:
    """To another dashboard, about the same time and instances."""
    url = f"/d/{uid}?${{__url_time_range}}&${{datasource:queryparam}}&${{instance:queryparam}}"
    title = uid.removeprefix(f"{TAG}-").capitalize()
    return build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url).target_blank(False)


def _common(panel: Panel, view: View) -> Panel:
    width, height = view.size
    panel = panel.title(view.title).description(view.about).datasource(SOURCE).unit(view.unit)
    panel = panel.grid_pos(model.GridPos(h=height, w=width, x=0, y=0)).thresholds(_limits(view))
    if view.most is not None:
        panel = panel.min(0).max(view.most)
    if view.decimals is not None:
        panel = panel.decimals(view.decimals)
    if view.to:
        panel = panel.links([link(f"{TAG}-{view.to}")])
    return panel


def _asked(panel: Panel, view: View, *, instant: bool = False, layout: PromQueryFormat | None = None) -> Panel:
    for number, (legend, expression) in enumerate(view.queries.items()):
        query = prometheus.Dataquery().ref_id(chr(ord("A") + number)).datasource(SOURCE).expr(expression)
        query = query.instant() if instant else query.range()
        query = query.format(layout or PromQueryFormat.TIME_SERIES).legend_format(legend)
        panel = panel.with_target(query)
    return panel


def _joined(panel: Panel, view: View) -> Panel:
    """One row for each set of labels, a column for each query, called by its legend."""
    names = {f"Value #{chr(ord('A') + number)}": legend for number, legend in enumerate(view.queries)}
    if len(view.queries) == 1:
        names = {"Value": next(iter(view.queries)), **names}
    arranged = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": names}
    panel = panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    return panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=arranged))


def _limits(view: View) -> build.ThresholdsConfig:
    colours: tuple[str, ...] = (GREEN, YELLOW, RED) if len(view.limits) == 2 else (GREEN, RED)  # noqa: PLR2004  # both limits
    if view.low:
        colours = tuple(reversed(colours))
    steps = [model.Threshold(value=None, color=colours[0])]
    steps += [
        model.Threshold(value=value, color=colour) for value, colour in zip(view.limits, colours[1:], strict=False)
    ]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapped(words: Mapping[int, tuple[str, str]]) -> list[Any]:
    found = {
        str(state): model.ValueMappingResult(text=word, color=colour, index=index)
        for index, (state, (word, colour)) in enumerate(words.items())
    }
    return [model.ValueMap(options=found)]


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
