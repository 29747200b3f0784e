"""What records hold, and how good and how costly each model is: as plain data, and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from natix_cascade.plan.records import Records

__all__ = ["brief", "print_summary", "size", "summary"]

_MOST_LABELS = 12
_HALF = 0.5


def size(records: Records) -> dict[str, int]:
    """Count rows, pictures, groups and models."""
    return {
        "rows": len(records),
        "pictures": len(set(records.picture.tolist())),
        "groups": len(set(records.group.tolist())),
        "models": len(records.models),
    }


def brief(records: Records) -> str:
    """Say in one line how many there are of each."""
    counts = size(records)
    rows = f" in {counts['rows']} rows" if counts["rows"] != counts["pictures"] else ""
    groups = f" of {counts['groups']} groups" if counts["groups"] != counts["pictures"] else ""
    return f"{counts['pictures']} pictures{groups}{rows}, {len(records.labels)} labels, {counts['models']} models"


def summary(records: Records) -> dict[str, Any]:
    """Return all that `show` shows, as plain data; figures that are not known are None."""
    import numpy as np

    counts = np.bincount(records.label, minlength=len(records.labels)).tolist()
    named = dict(zip(records.labels, counts, strict=True))
    return {
        **size(records),
        "kind": "yes_no" if records.yes_no else "labels",
        "labels": named if len(named) <= _MOST_LABELS else len(named),
        "splits": _counts(records.split),
        "levels": _counts(records.level),
        "unit": records.unit,
        "models": {name: _model(records, index) for index, name in enumerate(records.models)},
    }


def _counts(values: Any) -> dict[str, int]:
    """How many rows have each value, in order; empty where no row has one."""
    import numpy as np

    names, counts = np.unique(values, return_counts=True)
    found = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {} if set(found) == {""} else found


def _model(records: Records, index: int) -> dict[str, Any]:
    import numpy as np

    from natix_cascade.decide import accuracy, mcc

    score, took = records.score[:, index], records.latency_ms[:, index]
    there, timed = ~np.isnan(score), took[~np.isnan(took)]
    weight, label = records.weight[there], records.label[there]
    found: dict[str, Any] = {"answers": int(there.sum()), "failures": int(records.failed[:, index].sum())}
    if not weight.sum():
        figures: dict[str, float | None] = {"accuracy": None, "mean_confidence": None}
    elif records.answer is None:
        truth, p = label == 1, score[there]
        figures = {
            "accuracy": accuracy(truth, p >= _HALF, weight),
            "mcc": mcc(truth, p >= _HALF, weight),
            "auc": _auc(truth, p, weight),
            "mean_confidence": float(np.average(np.maximum(p, 1 - p), weights=weight)),
        }
    else:
        figures = {
            "accuracy": float(np.average(records.answer[there, index] == label, weights=weight)),
            "mean_confidence": float(np.average(score[there], weights=weight)),
        }
    return {
        **found,
        **figures,
        "costs": {unit: float(values[index]) for unit, values in records.costs.items()},
        "latency_ms": {"mean": float(timed.mean()), "p95": float(np.percentile(timed, 95))} if len(timed) else None,
        "sha256": records.sha256.get(records.models[index]),
    }


def _auc(truth: Any, score: Any, weight: Any) -> float | None:
    """Area under the ROC curve: how often a yes scores above a no, ties count half; None with one label alone."""
    import numpy as np

    _, place = np.unique(score, return_inverse=True)
    yes, no = (np.bincount(place, weight * side, minlength=place.max() + 1) for side in (truth, ~truth))
    pairs = yes.sum() * no.sum()
    return float((yes * (np.cumsum(no) - no / 2)).sum() / pairs) if pairs else None


def print_summary(records: Records) -> None:
    """Print for people on standard output."""
    from rich.console import Console

    screen = Console(highlight=False, markup=False)
    data = summary(records)
    screen.print(brief(records))
    for name in ("labels", "splits", "levels"):
        if data[name] and isinstance(data[name], dict):
            counts = ", ".join(f"{key or 'none'} {count}" for key, count in data[name].items())
            screen.print(f"{name}: {counts}")
    models = data["models"]
    quality = {"accuracy": "accuracy", "mcc": "MCC", "auc": "AUC", "mean_confidence": "confidence"}
    if not records.yes_no:
        quality = {key: title for key, title in quality.items() if key not in {"mcc", "auc"}}
    rows = {
        name: [
            str(model["answers"]),
            str(model["failures"]),
            *(_figure(model.get(key), ".4f") for key in quality),
        ]
        for name, model in models.items()
    }
    screen.print(_table(["model", "answers", "failures", *quality.values()], rows))
    units = sorted(records.costs, key=lambda unit: unit != records.unit)
    rows = {name: [_figure(model["costs"][unit], ".4g") for unit in units] for name, model in models.items()}
    if any(model["latency_ms"] for model in models.values()):
        units += ["mean latency, ms", "p95, ms"]
        for name, model in models.items():
            took = model["latency_ms"] or {}
            rows[name] += [_figure(took.get(key), ".4g") for key in ("mean", "p95")]
    screen.print(_table(["cost of one answer", *units], rows))


def _table(titles: list[str], rows: dict[str, list[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(titles[0], overflow="fold")
    for title in titles[1:]:
        table.add_column(title, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
