from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file: test folders are not packages
from made_records import labelled, records_of, relabelled, yes_no

from natix_cascade.decide import calibrate, logit, sigmoid
from natix_cascade.plan.opinions import fit_calibrators, folds_of, held_out, opinions_with
from natix_cascade.plan.records import Records
from natix_cascade.spec.rules import Identity, Platt

law = settings(deadline=None, max_examples=1500)
KINDS: dict[str, Callable[[], Records]] = {
    "yes and no": lambda: yes_no(600, 1, group_size=4),
    "labels": lambda: replace(labelled(600, 1), group=np.array([f"g{i // 4}" for i in range(600)])),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def log_loss(p: np.ndarray, hit: np.ndarray) -> float:
    return float(-np.mean(np.where(hit, np.log(p), np.log(1 - p))))


@each_kind
@pytest.mark.parametrize("chosen", [0, 77, 149])
def test_a_groups_own_labels_do_not_touch_its_opinions(kind: str, chosen: int) -> None:
    records = KINDS[kind]()
    own = records.group == f"g{chosen}"
    assert own.sum() == 4
    before, after = held_out(records, seed=3), held_out(relabelled(records, own), seed=3)
    np.testing.assert_array_equal(after.p[own], before.p[own])
    fold = folds_of(before.group, 5, 3)
    same = fold == fold[own][0]
    np.testing.assert_array_equal(after.p[same], before.p[same])
    assert (after.p[~same] != before.p[~same]).any(axis=1).all()  # the others learn from it


@each_kind
def test_opinions_that_know_the_labels_are_moved_by_them(kind: str) -> None:
    records = KINDS[kind]()
    own = records.group == "g77"
    moved = relabelled(records, own)
    before = opinions_with(records, fit_calibrators(records)).p[own]
    assert (opinions_with(moved, fit_calibrators(moved)).p[own] != before).all()


@law
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=60), count=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_folds_keep_groups_whole_and_are_of_about_one_size(sizes: list[int], count: int, seed: int) -> None:
    group = np.repeat(np.arange(len(sizes)), sizes)
    group = group[np.random.default_rng(seed).permutation(len(group))]
    fold = folds_of(group, count, seed)
    assert ((fold >= 0) & (fold < count)).all()
    for name in range(len(sizes)):
        assert len(set(fold[group == name].tolist())) == 1
    mass = np.bincount(fold, minlength=count)
    assert np.abs(mass - len(group) / count).max() <= max(sizes)
    shuffled = np.random.default_rng(seed + 1).permutation(len(group))
    assert (folds_of(group[shuffled], count, seed) == fold[shuffled]).all()


def test_another_seed_deals_other_folds() -> None:
    group = np.arange(200)
    assert (folds_of(group, 5, 0) == folds_of(group, 5, 0)).all()
    assert (folds_of(group, 5, 0) != folds_of(group, 5, 1)).mean() > 0.6


def test_held_out_opinions_are_calibrated_where_scores_are_not() -> None:
    records = yes_no(4_000, 2)
    found = held_out(records)
    for column in range(3):
        raw = np.clip(records.score[:, column], 1e-6, 1 - 1e-6)
        assert log_loss(found.p[:, column], records.label == 1) < log_loss(raw, records.label == 1)
        bins = np.digitize(found.p[:, column], [0.2, 0.4, 0.6, 0.8])
        for at in range(5):
            here = bins == at
            gap = found.p[here, column].mean() - records.label[here].mean()
            assert abs(gap) < 4 * np.sqrt(0.25 / here.sum())


def test_labels_that_are_easier_get_their_own_confidence() -> None:
    draw = np.random.default_rng(5)
    n = 20_000
    answer = draw.integers(0, 3, n)
    often = np.array([0.95, 0.7, 0.6])  # how often the model is right that says this label, at the same confidence
    label = np.where(draw.random(n) < often[answer], answer, (answer + draw.integers(1, 3, n)) % 3)
    records = records_of(draw.uniform(0.75, 0.85, (n, 1)), label, answer=answer[:, None])
    (line,) = fit_calibrators(records)
    assert isinstance(line, Platt)
    p = opinions_with(records, [line]).p[:, 0]
    for said in range(3):
        here = answer == said
        assert p[here].mean() == pytest.approx((label[here] == said).mean(), abs=0.02)


@pytest.mark.parametrize("said", [0, 3, 30, 1_000])
def test_offsets_of_rare_labels_stay_near_0(said: int) -> None:
    """A label that is always right: the fewer pictures say so, the nearer its offset is to 0."""
    draw = np.random.default_rng(said)
    n = 3_000
    label = np.where(np.arange(n) < said, 0, 1)
    right = np.where(label == 0, True, draw.random(n) < 0.7)
    records = records_of(
        draw.uniform(0.55, 0.95, (n, 1)), label, answer=np.where(right, label, 2)[:, None], labels=("a", "b", "c")
    )
    (line,) = fit_calibrators(records)
    assert isinstance(line, Platt)
    offset = line.offsets.get("a", 0.0)
    # at the maximum, the prior's pull equals that of the pictures, each of which pulls with less than 1
    base = logit(calibrate(replace(line, offsets={}), records.score[:said, 0]))
    assert 25 * offset == pytest.approx((1 - sigmoid(base + offset)).sum(), abs=0.01)
    assert 0 <= offset <= said / 25
    assert (offset > 1) == (said == 1_000)


@pytest.mark.parametrize("right", [True, False, None])
def test_a_model_that_cannot_be_fitted_keeps_its_scores(*, right: bool | None) -> None:
    draw = np.random.default_rng(0)
    label = draw.integers(0, 3, 50)
    answer = np.column_stack([label, draw.integers(0, 3, 50)])
    if right is not None:
        answer[:, 0] = label if right else (label + 1) % 3
    else:
        answer[:, 0] = -1
    records = records_of(draw.random((50, 2)), label, answer=answer)
    first, second = fit_calibrators(records)
    assert first == Identity()
    assert isinstance(second, Platt)
    p = held_out(records).p[:, 0]
    if right is None:
        assert np.isnan(p).all()
    else:
        np.testing.assert_allclose(p, np.clip(records.score[:, 0], 1e-6, 1 - 1e-6))


def test_yes_no_of_one_class_keeps_its_scores() -> None:
    records = yes_no(40, 0)
    assert fit_calibrators(replace(records, label=np.ones(40, np.int64))) == [Identity()] * 3


@each_kind
def test_a_weight_counts_like_repeated_rows(kind: str) -> None:
    records = KINDS[kind]()
    times = np.random.default_rng(1).integers(0, 4, len(records))
    weighed = fit_calibrators(replace(records, weight=times.astype(np.float64)))
    again = fit_calibrators(records.rows(np.repeat(np.arange(len(records)), times)))
    for one, other in zip(weighed, again, strict=True):
        assert isinstance(one, Platt)
        assert isinstance(other, Platt)
        assert (one.slope, one.intercept) == pytest.approx((other.slope, other.intercept), abs=1e-6)
        assert one.offsets == pytest.approx(other.offsets, abs=2e-4)


def test_absent_failed_and_weighed() -> None:
    records = yes_no(50, 3, group_size=5)
    score, failed = records.score.copy(), records.failed.copy()
    score[0, 0], failed[1, 1] = np.nan, True  # a score beside a failure is no answer
    weight = np.linspace(1, 3, 50)
    found = opinions_with(replace(records, score=score, failed=failed, weight=weight), [Identity()] * 3)
    absent = np.isnan(found.p)
    assert np.argwhere(absent).tolist() == [[0, 0], [1, 1]]
    assert (found.answer[absent] == -1).all()
    assert (found.answer[~absent] == (found.p[~absent] >= 0.5)).all()
    assert found.weight.mean() == pytest.approx(1)
    np.testing.assert_allclose(found.weight / found.weight[0], weight)
    assert len(set(found.group.tolist())) == 10
    part = found.rows(np.arange(10, 20))
    assert len(part) == 10
    np.testing.assert_array_equal(part.truth, records.label[10:20])
    assert (part.kinds, part.yes_no) == (2, True)
