"""Boxes of several detectors as one set: level 1's evidence in one picture."""

from __future__ import annotations

from collections.abc import Mapping

from natix_cascade.decide.evidence import Box, Evidence
from natix_cascade.errors import MissingExtraError

__all__ = ["LABEL_GROUPS", "fuse_boxes"]

LABEL_GROUPS: Mapping[str, str] = {
    "traffic cone": "cone",
    "cone": "cone",
    "barrier": "barrier",
    "barricade": "barrier",
    "drum": "drum",
    "work sign": "sign",
    "stop sign": "sign",
    "arrow board": "sign",
    "excavator": "machine",
    "truck": "machine",
    "worker in vest": "person",
    "person": "person",
}
"""Labels of different vocabularies that mean one thing; others are a group of their own."""
_OVERLAP = 0.55  # as Solovyev et al. found best


def fuse_boxes(
    evidence: Mapping[str, Evidence | None],
    weights: Mapping[str, float] | None = None,
    *,
    groups: Mapping[str, str] = LABEL_GROUPS,
    overlap: float = _OVERLAP,
) -> tuple[Box, ...]:
    """Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021, https://arxiv.org/abs/1910.13302).

    Boxes of one group that overlap become their mean, weighted by their scores and their models' weights; the score is
    the weighted mean over all models, so a box that one of ten saw is weak.

    Parameters
    ----------
    evidence : mapping
        Model name to what it saw; None, or no boxes, is a model that saw nothing and counts all the same.
    weights : mapping or None
        Model name to its weight in the vote; those that are not named weigh 1.
    groups : mapping
        Label to the name of its group.
    overlap : float
        Intersection over union from which two boxes are one.

    Returns
    -------
    tuple of Box
        Labelled by group, the strongest first.

    Raises
    ------
    MissingExtraError
        ensemble-boxes is not installed.
    """
    try:
        from ensemble_boxes import weighted_boxes_fusion  # noqa: PLC0415  # not everybody has it, and slow to import
    except ImportError as error:
        raise MissingExtraError(
            "boxes are fused by ensemble-boxes, which is not installed: pip install 'natix-cascade[torch]'"
        ) from error
    seen = [_with_area(said.boxes if said is not None else ()) for said in evidence.values()]
    names = sorted({groups.get(box.label, box.label) for boxes in seen for box in boxes})
    if not names:
        return ()
    corners, scores, labels = weighted_boxes_fusion(
        [[[box.x0, box.y0, box.x1, box.y1] for box in boxes] for boxes in seen],
        [[box.score for box in boxes] for boxes in seen],
        [[names.index(groups.get(box.label, box.label)) for box in boxes] for boxes in seen],
        weights=[(weights or {}).get(model, 1.0) for model in evidence],
        iou_thr=overlap,
        skip_box_thr=0.0,
    )
    each = zip(corners.tolist(), scores.tolist(), labels.tolist(), strict=True)
    return tuple(Box(names[int(label)], min(1.0, score), *place) for place, score, label in each)


def _with_area(boxes: tuple[Box, ...]) -> list[Box]:
    """Boxes that cover something; others cannot overlap anything."""
    return [box for box in boxes if box.x1 > box.x0 and box.y1 > box.y0]
