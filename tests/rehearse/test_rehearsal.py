"""The whole cascade of 26 models, end to end, over tiny networks of the true architectures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from natix_cascade.rehearse.rehearsal import Rehearsal, rehearse

pytest.importorskip("torch", reason="needs the rehearse extra")
pytest.importorskip("transformers", reason="needs the rehearse extra")

VLLM = os.environ.get("NATIX_CASCADE_VLLM")
SHOWN = {"florence-2-large": "text", "sam3:segment": "mask", "grounding-dino-base": "boxes", "rf-detr-large": "boxes"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, built once."""
    return tmp_path_factory.mktemp("rehearsal")


def check(result: Rehearsal) -> None:
    failed = {member.model: member.failure for member in result.members if member.failures}
    assert not failed
    assert result.models == result.answering == 26
    assert len(result.members) == 28  # sam3 and florence-2-large have two roles
    for member in result.members:
        assert member.answers + member.silent == result.pictures, member
        assert member.score is not None, member
        assert 0 <= member.score <= 1, member
    shown = {member.model: member.evidence for member in result.members}
    for model, kind in SHOWN.items():
        assert kind in shown[model], model
    assert json.loads(json.dumps(result.as_dict()))["complete"] is True


@pytest.mark.train
@pytest.mark.timeout(600)
def test_all_26_answer_over_transformers(stage: Path) -> None:
    result = rehearse("dual-h100", stage, scenes=2)
    check(result)
    assert result.servers == "transformers for 13"
    assert result.complete


@pytest.mark.train
@pytest.mark.timeout(600)
def test_what_was_built_is_used_again_and_picks_by_band_are_all_asked(stage: Path) -> None:
    told: list[str] = []
    result = rehearse("single-h100", stage, scenes=2, tell=told.append)
    assert not [line for line in told if line.startswith("building")]
    assert result.complete
    assert {member.model for member in result.members if member.level == "vlm"} == {
        "qwen3-vl-4b",
        "qwen3-vl-8b-thinking",
        "qwen3-vl-30b-a3b-thinking",
    }


@pytest.mark.vllm
@pytest.mark.timeout(900)
@pytest.mark.skipif(VLLM is None, reason="NATIX_CASCADE_VLLM does not name the vllm program")
def test_all_26_answer_and_an_outage_of_the_real_vllm_is_overcome(stage: Path) -> None:
    assert VLLM is not None
    result = rehearse("dual-h100", stage, scenes=4, vllm=Path(VLLM), outage=True)
    check(result)
    assert result.servers == "vLLM for 3, transformers for 10"
    gone = result.outage
    assert gone is not None
    assert gone.degraded == gone.pictures > 0
    assert set(gone.opened) == set(gone.models) == {"qwen3-vl-4b", "qwen3-vl-8b-thinking", "qwen3-vl-32b"}
    assert gone.recovered_after >= 1
    adapted = {member.model: member.score for member in result.members if member.model.startswith("qwen3-vl")}
    assert len(set(adapted.values())) == len(adapted)  # each adapter answers for itself
    assert result.complete
