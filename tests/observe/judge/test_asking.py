"""One judge over real HTTP: every form, every fault, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from judge_server import COUNTED, PICTURE, JudgeServer, said, text_of, verdict

from natix_cascade.errors import SpecError
from natix_cascade.observe.judge import asking
from natix_cascade.observe.judge.asking import Judge, Judgement
from natix_cascade.observe.judge.rubric import load_rubric
from natix_cascade.observe.options import JudgeOptions
from natix_cascade.spec.endpoints import Endpoint

pytest.importorskip("httpx")
DEAR = {"usd_per_million_input": 10.0, "usd_per_million_output": 100.0}
COST = (1000 * 10 + 50 * 100) / 1e6


class Wallet:
    """Counts what is paid; holds `left`."""

    def __init__(self, left: float = 1e9) -> None:
        self.left = left
        self.takes: list[float] = []
        self.paid: list[float] = []

    def take(self, usd: float) -> bool:
        if usd > self.left:
            return False
        self.left -= usd
        self.takes.append(usd)
        return True

    def settle(self, taken: float, actual: float) -> None:
        self.left += taken - actual
        self.paid.append(actual)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_FIRST_PAUSE_S", 0.02)


def ask(
    server: JudgeServer, times: int = 1, *, rubric: str = "roadwork", wallet: Wallet | None = None, **more: Any
) -> list[Judgement]:
    endpoint = Endpoint(url=server.url, model="judge", **{"timeout_s": 20.0, **more})

    async def work() -> list[Judgement]:
        judge = Judge(JudgeOptions(endpoint=endpoint, **DEAR), load_rubric(rubric))
        try:
            return [await judge.score(verdict(yes=False), PICTURE, wallet or Wallet()) for _ in range(times)]
        finally:
            await judge.close()

    return asyncio.run(work())


def test_a_score() -> None:
    with JudgeServer(said(0.35, "Nothing is seen.")) as server:
        wallet = Wallet()
        (found,) = ask(server, wallet=wallet)
        assert server.pictures == []
        assert len(server.requests) == 1
    assert (found.score, found.reason, found.failure, found.form) == (0.35, "Nothing is seen.", None, "json_schema")
    assert found.cost_usd == pytest.approx(COST)
    assert wallet.paid == [pytest.approx(COST)]
    assert wallet.takes[0] > COST
    assert found.latency_ms > 0


def test_a_blind_judge_scores_the_answer_by_its_own() -> None:
    with JudgeServer(said(0.2, key="probability")) as server:
        (found,) = ask(server, rubric="roadwork-blind")
    assert found.score == pytest.approx(0.8)  # the verdict says no


@pytest.mark.parametrize(
    ("refuses", "form", "requests"),
    [
        (set(), "json_schema", 1),
        ({"extras"}, "json_schema, bare", 2),
        ({"extras", "max_tokens"}, "json_schema, bare, modern", 3),
        ({"json_schema"}, "structured_outputs", 4),
        ({"json_schema", "structured_outputs"}, "text, bare", 5),
        ({"json_schema", "structured_outputs", "max_tokens"}, "text, bare, modern", 6),
    ],
)
def test_the_form_that_a_server_takes_is_found_once(refuses: set[str], form: str, requests: int) -> None:
    with JudgeServer() as server:
        server.refuses = refuses
        first, second = ask(server, 2)
    assert (first.form, first.requests, first.score) == (form, requests, 0.9)
    assert (second.form, second.requests) == (form, 1)
    assert first.cost_usd == pytest.approx(COST)  # refusals cost nothing


def test_who_refuses_all_is_quoted() -> None:
    with JudgeServer() as server:
        server.refuses = {"all"}
        (found,) = ask(server)
    assert found.failure is not None
    assert "answered 400: unsupported: all" in found.failure
    assert found.ill
    assert (found.score, found.cost_usd) == (None, 0)


def test_who_passes_over_the_schema_is_asked_in_words() -> None:
    def words(request: dict[str, Any]) -> str:
        return said(0.7) if "chat_template_kwargs" not in request else "It looks right to me."

    with JudgeServer(words) as server:
        first, second = ask(server, 2)
    assert (first.score, first.form, first.requests) == (0.7, "text, bare", 3)
    assert first.cost_usd == pytest.approx(3 * COST)
    assert (second.score, second.requests) == (0.7, 1)


def test_who_never_says_anything_usable_is_asked_in_three_forms_and_no_more() -> None:
    with JudgeServer("It looks right to me.") as server:
        (found,) = ask(server)
        assert len(server.requests) == 3
    assert "'It looks right to me.'" in (found.failure or "")
    assert not found.ill


def test_an_answer_that_is_none_costs_and_is_no_score() -> None:
    with JudgeServer(said(9)) as server:
        server.says = lambda _: said(0.5) if len(server.requests) == 1 else said(9)
        wallet = Wallet()
        _, found = ask(server, 2, wallet=wallet)
    assert found.score is None
    assert "not between 0 and 1" in (found.failure or "")
    assert found.requests == 1
    assert sum(wallet.paid) == pytest.approx(2 * COST)


def test_an_answer_that_was_cut_off() -> None:
    with JudgeServer(said(0.5)[:-3]) as server:
        server.finish = "length"
        (found,) = ask(server)
    assert "cut off" in (found.failure or "")


@pytest.mark.parametrize(
    "usage", [None, {}, [], {"prompt_tokens": -1, "completion_tokens": 5}, {"prompt_tokens": 0, "completion_tokens": 0},
              {"prompt_tokens": True, "completion_tokens": True}, {"prompt_tokens": "1", "completion_tokens": 2}]
)  # fmt: skip
def test_who_does_not_count_tokens_is_estimated_high(usage: Any) -> None:
    with JudgeServer() as server:
        server.usage = usage
        wallet = Wallet()
        (found,) = ask(server, wallet=wallet)
    assert found.cost_usd == wallet.takes[0] > 2 * COST


def test_a_server_that_counts_madly_does_not_break_it() -> None:
    with JudgeServer() as server:
        server.usage = {"prompt_tokens": 10**400, "completion_tokens": 1}
        (found,) = ask(server)
    assert found.score == 0.9
    assert found.cost_usd == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize("fault", ["busy", "unavailable", "disconnect"])
def test_what_passes_is_tried_again(fault: Any) -> None:
    with JudgeServer() as server:
        server.faults.extend([fault, fault])
        (found,) = ask(server)
    assert (found.score, found.requests) == (0.9, 3)


def test_what_does_not_pass_is_given_up_after_three_tries() -> None:
    with JudgeServer() as server:
        server.fault = "busy"
        (found,) = ask(server)
    assert (found.requests, found.ill, found.cost_usd) == (3, True, 0)
    assert "429" in (found.failure or "")


def test_a_server_that_wants_long_is_not_waited_for() -> None:
    with JudgeServer() as server:
        server.fault, server.retry_after = "busy", "120"
        (found,) = ask(server)
    assert (found.requests, found.retry_after_s) == (1, 120)


@pytest.mark.parametrize("fault", ["error", "odd"])
def test_what_is_no_matter_of_time_is_not_tried_again(fault: Any) -> None:
    with JudgeServer() as server:
        server.faults.append(None)
        server.fault = fault
        _, found = ask(server, 2)
    assert (found.score, found.requests) == (None, 1)


@pytest.mark.parametrize("fault", ["garbage", "huge"])
def test_no_reply_of_the_protocol_counts_as_paid(fault: Any) -> None:
    with JudgeServer() as server:
        server.fault = fault
        wallet = Wallet()
        (found,) = ask(server, wallet=wallet)
    assert (found.ill, found.requests) == (True, 1)
    assert found.cost_usd == wallet.takes[0]


def test_a_server_that_hangs_counts_as_paid_for_each_try() -> None:
    with JudgeServer() as server:
        server.fault = "hang"
        wallet = Wallet()
        (found,) = ask(server, wallet=wallet, timeout_s=0.1)
        server.release.set()
    assert (found.ill, found.requests) == (True, 3)
    assert found.cost_usd == pytest.approx(3 * wallet.takes[0])
    assert "no answer from" in (found.failure or "")


def test_a_server_that_is_not_there_costs_nothing() -> None:
    server = JudgeServer().start()
    server.stop()
    (found,) = ask(server)
    assert (found.ill, found.requests, found.cost_usd) == (True, 3, 0)
    assert "no connection" in (found.failure or "")


def test_without_money_nothing_is_sent() -> None:
    with JudgeServer() as server:
        (found,) = ask(server, wallet=Wallet(0.0001))
        assert server.requests == []
    assert "no money" in (found.failure or "")
    assert not found.ill


def test_a_retry_needs_money_too() -> None:
    with JudgeServer() as server:
        server.fault = "hang"
        wallet = Wallet(0.1)
        (found,) = ask(server, wallet=wallet, timeout_s=0.1)
        server.release.set()
    assert found.requests < 3
    assert "no money" in (found.failure or "")
    assert wallet.left >= 0


def test_another_server_at_the_same_place_is_learnt_anew() -> None:
    with JudgeServer() as server:
        server.refuses = {"json_schema", "structured_outputs"}
        endpoint = Endpoint(url=server.url, model="judge", timeout_s=20)

        async def work() -> list[Judgement]:
            judge = Judge(JudgeOptions(endpoint=endpoint), load_rubric("roadwork"))
            found = [await judge.score(verdict(), PICTURE, Wallet())]
            server.stop()
            found.append(await judge.score(verdict(), PICTURE, Wallet()))
            server.refuses = {"max_tokens"}
            server.start()
            found.append(await judge.score(verdict(), PICTURE, Wallet()))
            await judge.close()
            return found

        found = asyncio.run(work())
    assert [each.form for each in found] == ["text, bare", "text, bare", "json_schema, bare, modern"]


def test_a_judge_that_obeys_the_evidence_is_not_helped_by_it() -> None:
    """What a model wrote reaches the judge as a JSON string between marks that change with each question."""
    with JudgeServer() as server:
        ask(server, 2)
        first, second = (text_of(each) for each in server.requests)
    assert first != second
    assert first.splitlines()[2:-2] == second.splitlines()[2:-2]


def test_a_key_is_sent_and_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-verysecret-42")
    with JudgeServer(key="sk-another") as server:
        (found,) = ask(server, api_key_env="JUDGE_KEY")
        assert "Bearer sk-verysecret-42" in server.keys
    assert "sk-verysecret" not in (found.failure or "")
    assert (found.requests, found.cost_usd, found.ill) == (1, 0, True)


def test_an_endpoint_without_a_model() -> None:
    with pytest.raises(SpecError, match="names no model"):
        Judge(JudgeOptions(endpoint=Endpoint(url="http://127.0.0.1:9/v1")), load_rubric("roadwork"))


def test_many_at_once_search_once() -> None:
    with JudgeServer(delay_s=0.02) as server:
        server.refuses = {"extras"}
        endpoint = Endpoint(url=server.url, model="judge", timeout_s=20)

        async def work() -> list[Judgement]:
            judge = Judge(JudgeOptions(endpoint=endpoint), load_rubric("roadwork"))
            found = await asyncio.gather(*(judge.score(verdict(), PICTURE, Wallet()) for _ in range(6)))
            await judge.close()
            return found

        found = asyncio.run(work())
        assert len(server.requests) == 7
    assert {each.score for each in found} == {0.9}


def test_said_is_shown_each_request() -> None:
    seen: list[dict[str, Any]] = []
    show: Callable[[dict[str, Any]], None] = seen.append
    with JudgeServer() as server:
        server.usage = COUNTED
        endpoint = Endpoint(url=server.url, model="judge", timeout_s=20)

        async def work() -> None:
            judge = Judge(JudgeOptions(endpoint=endpoint), load_rubric("roadwork"))
            await judge.score(verdict(), PICTURE, Wallet(), said=show)
            await judge.close()

        asyncio.run(work())
        assert seen == server.requests
