"""The real vLLM as a judge's server; a tiny model with random weights knows nothing, but must keep the form."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from judge_server import verdict

from natix_cascade.image import encode_jpeg
from natix_cascade.observe.judge import wording
from natix_cascade.observe.judge.asking import Judge, Judgement
from natix_cascade.observe.judge.budget import Budget, Purse
from natix_cascade.observe.judge.rubric import load_rubric
from natix_cascade.observe.judge.wording import FORMS, Form
from natix_cascade.observe.options import JudgeOptions
from natix_cascade.rehearse.server_process import ServerProcess, free_port
from natix_cascade.rehearse.vllm_server import vllm_server
from natix_cascade.spec.endpoints import Endpoint

pytest.importorskip("transformers", reason="needs torch and transformers")
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
if "NATIX_CASCADE_VLLM" not in os.environ:
    pytestmark.append(pytest.mark.skip(reason="NATIX_CASCADE_VLLM does not name the vllm command"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    from natix_cascade.rehearse.tiny_vlm import build_tiny_vlm

    root = tmp_path_factory.mktemp("judge")
    build_tiny_vlm("qwen3_vl", root / "tiny")
    vllm = Path(os.environ["NATIX_CASCADE_VLLM"])
    running = vllm_server(vllm, root / "tiny", names=["judge"], port=free_port(), log=root / "log")
    # between JSON's tokens a model with random weights writes blanks until it is cut off
    running.command += ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}')
    with running:
        yield running


@pytest.fixture(autouse=True)
def long_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "_TOKENS", 1500)  # its tokens are letters, or less


def judged(server: ServerProcess, rubric: str, forms: tuple[Form, ...], count: int = 3) -> list[Judgement]:
    async def ask() -> list[Judgement]:
        endpoint = Endpoint(url=server.url, model="judge", timeout_s=200)
        judge = Judge(JudgeOptions(endpoint=endpoint, usd_per_million_input=1.0), load_rubric(rubric))
        judge._found = forms[0] if len(forms) == 1 else None
        budget, draw = Budget(1000, 1000.0), np.random.default_rng(7)
        found = []
        for _ in range(count):
            purse = budget.enter(judge.most_usd(verdict(), b""), by_chance=True)
            assert isinstance(purse, Purse)
            pixels = draw.integers(0, 255, (96, 128, 3), dtype=np.uint8)
            found.append(await judge.score(verdict(text="cones"), encode_jpeg(pixels), purse))
        await judge.close()
        return found

    return asyncio.run(ask())


@pytest.mark.parametrize("rubric", ["roadwork", "roadwork-blind"])
def test_the_schema_holds(server: ServerProcess, rubric: str) -> None:
    found = judged(server, rubric, FORMS)
    for each in found:
        assert each.failure is None, each
        assert each.form == "json_schema"
        assert each.requests == 1
        assert each.score is None or 0 <= each.score <= 1
        assert 0 < len(each.reason) <= 300 or each.reason == ""
        assert 0 < each.cost_usd < 0.01


def test_its_own_field_does_the_same(server: ServerProcess) -> None:
    (found,) = judged(server, "roadwork", (Form("structured_outputs"),), count=1)
    assert (found.failure, found.form) == (None, "structured_outputs")


def test_without_a_form_a_model_that_knows_nothing_is_not_believed(server: ServerProcess) -> None:
    (found,) = judged(server, "roadwork", (Form("text", bare=True),), count=1)
    assert found.score is None
    assert found.failure is not None
    assert found.failure.startswith("the judge's answer")
