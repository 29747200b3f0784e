"""Good requests: every form that a picture, a stream, a batch or feedback can come in."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from chaos_wire import connected, head

if TYPE_CHECKING:
    from chaos_traffic import Traffic

__all__ = ["KINDS"]

Kind: TypeAlias = "Callable[[Traffic, float], Awaitable[None]]"


async def _good(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    await traffic.ask("good", began, sample, sample.right)


async def _fresh(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    headers = {"Connection": "close", "Content-Type": "image/jpeg"}
    await traffic.ask("fresh", began, sample, sample.right, headers=headers)


async def _explain(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    answer = await traffic.ask("explain", began, sample, sample.right, query={"explain": "true"})
    if answer is not None:
        traffic.ledger.check(12, "an explanation", good="picture" in answer.get("explanation", {}))


async def _odd_type(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    kind = traffic.rng.choice(["text/html", "application/pdf", "x/y; z=1", "application/x-www-form-urlencoded", "?"])
    await traffic.ask("odd_type", began, sample, sample.right, headers={"Content-Type": kind})


async def _max_level(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    level = traffic.rng.choice(list(sample.right_up_to))
    await traffic.ask("max_level", began, sample, sample.right_up_to[level], query={"max_level": level})


async def _tight(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    deadline = traffic.rng.choice([1, 5, 20, 60, 200])
    query = {"deadline_ms": str(deadline)}
    async with asyncio.timeout(deadline / 1000 + traffic.patience_s):
        await traffic.ask("tight", began, sample, sample.right, query=query, also={504})


async def _json(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    text = base64.b64encode(sample.content).decode()
    body = json.dumps({"image": traffic.rng.choice(["", "data:image/jpeg;base64,"]) + text}).encode()
    headers = {"Content-Type": "application/json"}
    await traffic.ask("json", began, sample, sample.right, headers=headers, content=body)


async def _form(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    response = await traffic.client.post("/v1/infer", files={"file": ("a.jpg", sample.content, "image/jpeg")})
    traffic.judged("form", began, response, sample.right)


async def _feedback(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    answer = await traffic.ask("good", began, sample, sample.right)
    if answer is None:
        return
    label = traffic.rng.random() < 0.5
    body: dict[str, Any] = {"verdict_id": answer["verdict_id"], "label": label, "note": "chaos"}
    if traffic.rng.random() < 0.1:
        body["image"] = base64.b64encode(sample.content).decode()
    response = await traffic.client.post("/v1/feedback", json=body)
    traffic.status("feedback", began, response.status_code, {201}, response.headers)
    if response.status_code == 201:
        traffic.acknowledged[response.json()["feedback_id"]] = (answer["verdict_id"], label)


async def _stream(traffic: Traffic, began: float) -> None:
    sample = traffic.sample()
    query = {"stream": "true"}
    async with traffic.client.stream("POST", "/v1/infer", params=query, content=sample.content) as response:
        if not traffic.status("stream", began, response.status_code, {200}, response.headers):
            return
        lines = [json.loads(line) async for line in response.aiter_lines()]
    last: dict[str, Any] = lines[-1] if lines else {"event": "nothing"}
    if last["event"] == "verdict":
        traffic.verdict("stream", began, last["verdict"], sample.right)
    elif last["event"] == "problem":
        traffic.status("stream's problem", began, last["problem"]["status"], {504}, {"retry-after": "1"})
    else:
        traffic.ledger.wrong(12, "a stream without an end", kind="stream", last=last["event"], at=traffic.at(began))


async def _stream_left(traffic: Traffic, _: float) -> None:
    content = traffic.sample().content
    async with connected(traffic.world.port) as (reader, writer):
        writer.write(head("POST", "/v1/infer?stream=true", length=len(content)) + content)
        await writer.drain()
        await reader.read(200)
    traffic.left("stream_left")


async def _batch(traffic: Traffic, began: float) -> None:
    chosen = [traffic.sample() for _ in range(traffic.rng.randint(2, 6))]
    whole = [sample.content for sample in chosen]
    bad = {len(whole): (415, b"no picture"), len(whole) + 1: (422, whole[0][:400])}
    everything = [*whole, *(content for _, content in bad.values())]
    if traffic.rng.random() < 0.5:
        files = [("file", (f"{n}.jpg", content, "image/jpeg")) for n, content in enumerate(everything)]
        response = await traffic.client.post("/v1/batch-infer", files=files)
    else:
        lines = [
            json.dumps({"image": base64.b64encode(each).decode(), "name": f"{n}"}) for n, each in enumerate(everything)
        ]
        headers = {"Content-Type": "application/x-ndjson"}
        response = await traffic.client.post("/v1/batch-infer", content="\n".join(lines), headers=headers)
    if not traffic.status("batch", began, response.status_code, {200}, response.headers):
        return
    found = [json.loads(line) for line in response.text.splitlines()]
    done = found.pop() if found else {}
    by_index = {line["index"]: line for line in found}
    good = done.get("done") is True and done.get("pictures") == len(everything) == len(by_index)
    if not traffic.ledger.check(14, "a batch answers for each file", good=good, done=done, at=traffic.at(began)):
        return
    for index, sample in enumerate(chosen):
        line = by_index[index]
        if line["status"] == 200:
            traffic.verdict("batch", began, line["verdict"], sample.right)
        else:
            traffic.status("batch's picture", began, line["status"], {504}, {"retry-after": "1"})
    for index, (status, _) in bad.items():
        traffic.status("batch's bad file", began, by_index[index]["status"], {status}, {"retry-after": "1"})


KINDS: dict[str, tuple[float, Kind]] = {
    "good": (40, _good),
    "fresh": (8, _fresh),
    "explain": (2, _explain),
    "odd_type": (2, _odd_type),
    "max_level": (4, _max_level),
    "tight": (6, _tight),
    "json": (4, _json),
    "form": (4, _form),
    "feedback": (8, _feedback),
    "stream": (4, _stream),
    "stream_left": (2, _stream_left),
    "batch": (2, _batch),
}
"""Name to its share of the traffic, and the function that sends one."""
