"""The miner answers every challenge in time: validator's dendrite, signed requests, axon, service, and back.

1,000 challenges as the subnet draws them (labels balanced, one of four levels of augmentation, JPEG) go through a real
bittensor dendrite over loopback to a real axon, which asks a real service. Both kinds of request take turns, a few are
under way at a time. An answer counts when it is there within 9 s; exactly 0.5, -1 and anything outside [0, 1] earn
nothing and must not come.

It runs in the miner's environment; NATIX_CASCADE_COMMAND names the command of one that can serve (default: .venv).
Without a manifest, pictures are rendered scenes: their MCC says nothing about streets.
"""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import common
from natix_cascade.decide import mcc
from natix_cascade.image import Level, challenge_jpeg, decode
from natix_cascade.report.manifest import Row
from natix_cascade.testing import write_scenes

os.environ["READ_ONLY"] = "1"  # importing bittensor makes no folders at home

SEED, SCENES, LIMIT_S, PARALLEL = 0, 120, 9.0, 4


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge and its truth."""

    image: str
    label: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, after how many seconds."""

    prediction: float
    status: str
    seconds: float
    explained: bool | None  # None: that kind of request has no room for reasons


def challenges(rows: Sequence[Row], count: int) -> list[Challenge]:
    """Draw as the subnet does."""
    rng = np.random.default_rng(SEED)
    by_label = {label: [row for row in rows if row.label is label] for label in (True, False)}
    levels = [level.value for level in Level]
    drawn = []
    for number in range(count):
        label = bool(rng.integers(2))
        row = by_label[label][rng.integers(len(by_label[label]))]
        level = levels[rng.integers(len(levels))]
        jpeg = challenge_jpeg(decode(row.path).pixels, level, seed=SEED + number)
        drawn.append(Challenge(base64.b64encode(jpeg).decode(), label))
        common.progress(f"{number + 1} of {count} challenges drawn")
    return drawn


async def play(drawn: Sequence[Challenge], url: str, folder: Path) -> tuple[list[Answer], dict[str, Any]]:
    """Send all challenges; the answers and the miner's tally."""
    import bittensor
    from bittensor.utils import networking

    from natix_cascade.serve.miner.axon import ExtendedImageSynapse, ImageSynapse
    from natix_cascade.serve.miner.chain import StaticChain
    from natix_cascade.serve.miner.door import Neuron
    from natix_cascade.serve.miner.options import MinerOptions
    from natix_cascade.serve.miner.run import running
    from natix_cascade.serve.miner.wallet import throwaway_wallet

    networking.get_external_ip = lambda: "192.0.2.1"  # a dendrite asks public services for it; nothing leaves here
    validator, miner_wallet = throwaway_wallet(folder / "validator"), throwaway_wallet(folder / "miner")
    asks = Neuron(validator.hotkey.ss58_address, 1000.0, validator=True)
    chain = StaticChain((asks, Neuron(miner_wallet.hotkey.ss58_address)))
    options = MinerOptions(service_url=url, axon_host="127.0.0.1", axon_port=0, external_ip="127.0.0.1")
    gate, done = asyncio.Semaphore(PARALLEL), 0
    async with running(options, miner_wallet, chain) as miner, bittensor.Dendrite(wallet=validator) as dendrite:
        target = miner.axon.info()

        async def ask(number: int, one: Challenge) -> Answer:
            nonlocal done
            kind = (ImageSynapse, ExtendedImageSynapse)[number % 2]
            async with gate:
                began = time.perf_counter()
                said = await dendrite.call(target, kind(image=one.image), timeout=LIMIT_S, deserialize=False)
                seconds = time.perf_counter() - began
            done += 1
            common.progress(f"{done} of {len(drawn)} challenges answered")
            explained = bool(said.explanation) if kind is ExtendedImageSynapse else None
            status = f"{said.dendrite.status_code} {said.dendrite.status_message}"
            return Answer(said.prediction, status, seconds, explained)

        answers = await asyncio.gather(*(ask(number, one) for number, one in enumerate(drawn)))
        return answers, asdict(miner.judge.tally)


def figures(drawn: Sequence[Challenge], answers: Sequence[Answer], tally: dict[str, Any]) -> dict[str, Any]:
    """Everything that is claimed."""
    sent = np.array([answer.prediction for answer in answers])
    truth = np.array([one.label for one in drawn])
    in_time = np.array([answer.status.startswith("200 ") and answer.seconds <= LIMIT_S for answer in answers])
    single = sent.astype(np.float32)  # a validator may hold it so
    yes = np.array([round(p) == 1 for p in single.tolist()])
    milliseconds = np.array([answer.seconds * 1000 for answer in answers])
    return {
        "challenges": len(drawn),
        "answered_within_9_s": int(in_time.sum()),
        "exactly_one_half": int((single == 0.5).sum()),
        "minus_one": int((sent == -1).sum()),
        "outside": int(((sent < 0) | (sent > 1) | np.isnan(sent)).sum()),
        "without_explanation": sum(answer.explained is False for answer in answers),
        "latency_ms": {f"p{q}": float(np.percentile(milliseconds, q)) for q in (50, 95, 99)}
        | {"max": float(milliseconds.max())},
        "mcc": mcc(truth, yes),
        "accuracy": float((truth == yes).mean()),
        "tally": tally,
    }


def main() -> None:
    """Play, print, save."""
    arguments = common.options(__doc__, "miner_loopback", manifest=False).parse_args()
    count = 60 if arguments.quick else 1000
    service = common.module_of_tests("serve/miner/real_service.py")
    if not service.command().is_file():
        common.leave(f"there is no {service.command().name} in .venv: set NATIX_CASCADE_COMMAND to one that can serve")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = arguments.manifest or write_scenes(folder / "scenes", SCENES, seed=SEED)
        rows = common.labelled(manifest)
        drawn = challenges(rows, count)
        with service.real_service(folder / "state") as url:
            answers, tally = asyncio.run(play(drawn, url, folder))
    common.progress("")
    result = figures(drawn, answers, tally)
    for answer in answers:
        assert answer.status.startswith("200 "), f"no answer after {answer.seconds:.2f} s: {answer.status}"
    for key in ("exactly_one_half", "minus_one", "outside"):
        assert result[key] == 0, f"{key}: {result[key]}"
    common.table(
        ["challenges", "within 9 s", "p50 ms", "p95 ms", "p99 ms", "max ms", "MCC"],
        [[result["challenges"], result["answered_within_9_s"], *result["latency_ms"].values(), result["mcc"]]],
    )
    data = {
        "pictures": len(rows),
        "rendered": arguments.manifest is None,
        "split": "test",
        "parallel": PARALLEL,
        "workers_of_the_service": 1,
    }
    common.save(arguments.out, __doc__, data=data, figures=result, quick=arguments.quick)


if __name__ == "__main__":
    main()
