"""What a data set of FiftyOne says of the cascade: evaluation, saved views, hard examples, and how the App shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natix_cascade.decide.metrics import accuracy, confusion, mcc
from natix_cascade.observe.dataset_tree import Example
from natix_cascade.observe.hard import HARD, WRONG

__all__ = ["EVALUATION", "Judgement", "arrange", "evaluate", "hard_examples", "save_views"]

EVALUATION = "verdict_eval"
_METADATA = ("size_bytes", "mime_type", "width", "height", "num_channels")
_CELLS = {"TP": "true_positive", "FP": "false_positive", "FN": "false_negative", "TN": "true_negative"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Verdicts against the truth: counts, accuracy and MCC (0 where it is undefined)."""

    labelled: int
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    accuracy: float
    mcc: float


def evaluate(fo: Any, dataset: Any) -> Judgement | None:
    """Evaluate the verdicts of all labelled samples, in FiftyOne too (key `EVALUATION`, which its App shows).

    Parameters
    ----------
    fo, dataset
        FiftyOne, and the data set.

    Returns
    -------
    Judgement or None
        None: nothing is labelled.
    """
    if dataset.has_evaluation(EVALUATION):
        dataset.delete_evaluation(EVALUATION)
    labelled = dataset.match(fo.ViewField("ground_truth.label") != None)  # noqa: E711  # an expression, not a test
    truths, said = labelled.values(["ground_truth.label", "verdict.label"])
    if not truths:
        return None
    classes = dataset.info["classes"]
    results = labelled.evaluate_classifications(
        "verdict", gt_field="ground_truth", eval_key=EVALUATION, method="binary", classes=classes, progress=False
    )
    del results  # it is kept in the database
    positive = classes[1]
    labels, answers = [word == positive for word in truths], [word == positive for word in said]
    cells = confusion(labels, answers)
    return Judgement(
        labelled=len(labels),
        accuracy=accuracy(labels, answers),
        mcc=mcc(labels, answers),
        **{name: int(getattr(cells, name)) for name in _CELLS.values()},
    )


def save_views(fo: Any, dataset: Any) -> dict[str, int]:
    """Save the views that one looks at first; returns how many samples each holds. Those of before are replaced."""
    where = fo.ViewField
    views = {
        "disagreements": dataset.match(where("consensus") < 1),
        "hardest": dataset.match(where("hardness") >= HARD).sort_by("hardness", reverse=True),
        "degraded": dataset.match(where("degraded") == True),  # noqa: E712  # an expression, not a test
    }
    for name, cell in (("false negatives", "FN"), ("false positives", "FP")):
        if dataset.has_evaluation(EVALUATION):
            views = {name: dataset.match(where(EVALUATION) == cell).sort_by("hardness", reverse=True), **views}
        elif dataset.has_saved_view(name):
            dataset.delete_saved_view(name)
    for name, view in views.items():
        dataset.save_view(name, view, description=_MEANT[name], overwrite=True)
    return {name: len(view) for name, view in views.items()}


_MEANT = {
    "false positives": "The cascade said yes, and it is not so; the hardest first",
    "false negatives": "The cascade said no, and it is so; the hardest first",
    "disagreements": "A model stands against the verdict",
    "hardest": f"Wrong, degraded, disputed or unsure, the hardest first; from {WRONG} on the verdict is wrong",
    "degraded": "A model that should have answered did not, or time ran out",
}


def hard_examples(fo: Any, dataset: Any) -> Iterator[Example]:
    """The pictures of the view ``hardest``, in its order."""
    view = dataset.match(fo.ViewField("hardness") >= HARD).sort_by("hardness", reverse=True)
    negative, positive = dataset.info["classes"]
    columns = view.values(["filepath", "sha256", "ground_truth.label", "group", "split"])
    for file, digest, word, group, split in zip(*columns, strict=True):
        truth = None if word is None else word == positive
        yield Example(
            picture=Path(file),
            sha256=digest,
            truth=truth,
            word=word or negative,
            group=group or "",
            split=split or "",
        )


def arrange(fo: Any, dataset: Any) -> None:
    """Tell the App how to lay out its sidebar: truth and verdict first and shown, each model's opinion below."""
    opinions = list(dataset.info["models"])
    evaluated = [EVALUATION] if dataset.has_evaluation(EVALUATION) else []
    groups = {
        "tags": (["tags"], False),
        "verdicts": (["ground_truth", "verdict", "evidence", *evaluated], True),
        "opinions": (opinions, True),
        "the way": (["hardness", "consensus", "exit_level", "exit_reason", "levels_executed", "degraded"], True),
        "details": (["silent_models", "reasons", "latency_ms", "cost_usd", "gmacs", "cascade", "policy"], False),
        "the picture": (["name", "group", "split", "location", "judged", "verdict_id", "filepath", "sha256"], False),
        "metadata": ([f"metadata.{name}" for name in _METADATA], False),
    }
    made = [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=expanded) for name, (paths, expanded) in groups.items()
    ]
    dataset.app_config.sidebar_groups = made
    dataset.app_config.active_fields = fo.ActiveFields(paths=["ground_truth", "verdict", "evidence", "hardness"])
    dataset.save()
