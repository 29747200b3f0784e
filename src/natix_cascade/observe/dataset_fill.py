"""Rows into a data set of FiftyOne: in batches, each picture once, and nothing twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from natix_cascade.errors import StoreError
from natix_cascade.observe.cases import Case
from natix_cascade.observe.dataset_rows import OWN_TAGS, Mark, SampleRow, opinion_field, row_of
from natix_cascade.spec.cascade import Question

__all__ = ["Filled", "fill", "open_dataset"]

_BATCH = 500
_MARK = "natix_cascade"
_FORMAT = 1
_TYPES: dict[str, tuple[str, str | None]] = {
    "sha256": ("StringField", None),
    "fingerprint": ("StringField", None),
    "name": ("StringField", None),
    "hardness": ("FloatField", None),
    "consensus": ("FloatField", None),
    "degraded": ("BooleanField", None),
    "exit_level": ("StringField", None),
    "exit_reason": ("StringField", None),
    "levels_executed": ("ListField", "StringField"),
    "reasons": ("ListField", "StringField"),
    "silent_models": ("ListField", "StringField"),
    "latency_ms": ("FloatField", None),
    "cost_usd": ("FloatField", None),
    "gmacs": ("FloatField", None),
    "group": ("StringField", None),
    "split": ("StringField", None),
    "verdict_id": ("StringField", None),
    "judged": ("DateTimeField", None),
    "cascade": ("StringField", None),
    "policy": ("StringField", None),
}
_LABELS = {
    "ground_truth": "Classification",
    "verdict": "Classification",
    "evidence": "Detections",
    "location": "GeoLocation",
}


@dataclass(slots=True)
class Filled:
    """What became of the rows: samples added, changed, as they were; and rows of a picture that came once more."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    repeated: int = 0


def open_dataset(fo: Any, name: str, question: Question, *, replaced: bool = False) -> Any:
    """The persistent data set of a name, made where it is missing.

    Parameters
    ----------
    fo : module
        FiftyOne.
    name : str
        Of the data set.
    question : Question
        That the results answer.
    replaced : bool
        Throw away what there is.

    Raises
    ------
    StoreError
        There is one of this name that holds something else.
    """
    if fo.dataset_exists(name) and replaced:
        fo.delete_dataset(name)
    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
        _check(dataset, question)
        return dataset
    dataset = fo.Dataset(name, persistent=True)
    classes = [question.negative, question.positive]
    dataset.info = {_MARK: _FORMAT, "question": question.id, "classes": classes, "models": {}}
    dataset.save()
    for field, (kind, inner) in _TYPES.items():
        dataset.add_sample_field(field, getattr(fo, kind), **({"subfield": getattr(fo, inner)} if inner else {}))
    for field, kind in _LABELS.items():
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=getattr(fo, kind))
    dataset.add_sample_field("verdict.probability", fo.FloatField)
    dataset.add_sample_field("evidence.detections.model", fo.StringField)
    dataset.create_index("sha256", unique=True)
    dataset.save()
    return dataset


def fill(
    fo: Any, dataset: Any, cases: Iterable[Case], question: Question, on_progress: Callable[[int], None] | None = None
) -> Filled:
    """Add what is new, change what has changed, leave what is there: the same again does nothing.

    Interrupted, the same call goes on: what is there is found by its digest and passed over.

    Parameters
    ----------
    fo, dataset
        FiftyOne, and the data set of `open_dataset`.
    cases : iterable of Case
        Of one question. Of two with the same picture the later one counts; a truth that is known is kept.
    question : Question
        Its words.
    on_progress : callable or None
        Handed the number of pictures that are through.

    Raises
    ------
    StoreError
        A case is of another question.
    """
    filled, seen = Filled(), 0
    for batch in _batches(cases):
        unique: dict[str, Case] = {}
        for case in batch:
            if case.verdict.question != question.id:
                raise StoreError(f"{case.name} answers {case.verdict.question!r}; the data set asks {question.id!r}")
            unique[case.verdict.sha256] = _with_truth(case, unique.get(case.verdict.sha256))
        filled.repeated += len(batch) - len(unique)
        _models(fo, dataset, unique.values())
        _write(fo, dataset, unique, question, filled)
        seen += len(batch)
        if on_progress is not None:
            on_progress(seen)
    return filled


def _check(dataset: Any, question: Question) -> None:
    info = dataset.info or {}
    if info.get(_MARK) != _FORMAT:
        raise StoreError(
            f"the data set {dataset.name!r} was not made by this program; give another --name, or --replace it"
        )
    if info["classes"] != [question.negative, question.positive] or info["question"] != question.id:
        raise StoreError(
            f"the data set {dataset.name!r} asks {info['question']!r} with the answers {info['classes']}, not "
            f"{question.id!r}; give another --name, or --replace it"
        )


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    source = iter(cases)
    while batch := list(islice(source, _BATCH)):
        yield batch


def _with_truth(case: Case, before: Case | None) -> Case:
    if case.truth is not None or before is None:
        return case
    return replace(case, truth=before.truth)


def _models(fo: Any, dataset: Any, cases: Iterable[Case]) -> None:
    """A field for each model that has not got one."""
    known: dict[str, str] = dict(dataset.info["models"])  # a copy: the data set is saved in between, and minds
    new = dict.fromkeys(opinion.model for case in cases for opinion in case.verdict.opinions)
    missing = [model for model in new if model not in known.values()]
    for model in missing:
        field = opinion_field(model, known)
        known[field] = model
        dataset.add_sample_field(
            field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification, description=f"what {model} said"
        )
        dataset.add_sample_field(f"{field}.probability", fo.FloatField)
    if missing:
        dataset.info = {**dataset.info, "models": known}
        dataset.save()


def _write(fo: Any, dataset: Any, cases: dict[str, Case], question: Question, filled: Filled) -> None:
    there = dataset.match(fo.ViewField("sha256").is_in(list(cases)))
    stood = dict(zip(*there.values(["sha256", "fingerprint"]), strict=True))
    truths = dict(zip(*there.values(["sha256", "ground_truth.label"]), strict=True))
    rows: dict[str, SampleRow] = {}
    for digest, case in cases.items():
        word = truths.get(digest)
        known = case if case.truth is not None or word is None else replace(case, truth=word == question.positive)
        rows[digest] = row_of(known, question)
    new = [row for digest, row in rows.items() if digest not in stood]
    changed = {digest: row for digest, row in rows.items() if digest in stood and stood[digest] != row.fingerprint}
    fields = {model: field for field, model in dataset.info["models"].items()}
    if changed:
        some = there.match(fo.ViewField("sha256").is_in(list(changed)))
        for sample in some.iter_samples(autosave=True):
            _set(fo, sample, changed[sample["sha256"]], fields)
    samples = []
    for row in new:
        sample = fo.Sample(filepath=row.filepath)
        _set(fo, sample, row, fields)
        samples.append(sample)
    if samples:
        dataset.add_samples(samples, progress=False)
    filled.added += len(new)
    filled.updated += len(changed)
    filled.unchanged += len(rows) - len(new) - len(changed)


def _set(fo: Any, sample: Any, row: SampleRow, fields: dict[str, str]) -> None:
    """Write a row into a sample; what others added to it stays."""
    sample.filepath = row.filepath
    foreign = [tag for tag in sample.tags if tag not in OWN_TAGS and tag not in row.tags]
    sample.tags = [*foreign, *row.tags]
    sample["sha256"], sample["fingerprint"] = row.sha256, row.fingerprint
    sample["ground_truth"], sample["verdict"] = _mark(fo, row.truth), _mark(fo, row.verdict)
    for model, field in fields.items():
        sample[field] = _mark(fo, row.opinions.get(model))
    boxes = [
        fo.Detection(label=seen.label, confidence=seen.confidence, bounding_box=list(seen.box), model=seen.model)
        for seen in row.seen
    ]
    sample["evidence"] = fo.Detections(detections=boxes) if boxes else None
    sample["location"] = fo.GeoLocation(point=list(row.place)) if row.place is not None else None
    for name, value in row.values.items():
        sample[name] = dt.datetime.fromisoformat(value) if name == "judged" and value is not None else value


def _mark(fo: Any, mark: Mark | None) -> Any:
    if mark is None:
        return None
    more = {} if mark.probability is None else {"probability": mark.probability}
    return fo.Classification(label=mark.label, confidence=mark.confidence, **more)
