"""The models without any service: pictures from memory are decoded, prepared and run, one after the other, in a loop.

Reads a JSON file that maps the name of a set to a list of ``[file, [model, ...]]``: which models the cascade asks about
that picture was worked out before. Then each line ``SET SECONDS`` on standard input is answered by a line of JSON:
pictures, seconds, and seconds of CPU. Each thread has its own place in the set; sessions are shared.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from natix_cascade.image import decode
from natix_cascade.models.base import Model
from natix_cascade.models.engines import load_model
from natix_cascade.spec.library import load_cascade


class Bare:
    """The calls that cannot be saved."""

    def __init__(self, intra: int) -> None:
        resolved, weights = load_cascade()
        self.short_side = max(max(card.input.height, card.input.width) for card in resolved.cards.values())
        self.models: dict[str, tuple[Model, Any]] = {}
        for name in resolved.models:
            options = onnxruntime.SessionOptions()  # as natix_cascade.models.onnx sets them
            options.intra_op_num_threads = intra
            options.inter_op_num_threads = 1
            options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = onnxruntime.InferenceSession(
                str(weights[name]), sess_options=options, providers=["CPUExecutionProvider"]
            )
            self.models[name] = (load_model(resolved.cards[name], weights[name]), session)

    def ask(self, data: bytes, names: list[str]) -> None:
        """One picture, one model after the other."""
        pixels = decode(data, short_side=self.short_side).pixels
        for name in names:
            model, session = self.models[name]
            card = model.card
            session.run([card.output.name], {card.input.name: np.stack([model.prepare(pixels)])})


def loop(bare: Bare, pictures: list[tuple[bytes, list[str]]], first: int, seconds: float) -> int:
    """How many pictures went through."""
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        bare.ask(*pictures[(first + count) % len(pictures)])
        count += 1
    return count


def measure(bare: Bare, pictures: list[tuple[bytes, list[str]]], threads: int, seconds: float) -> dict[str, float]:
    """So many threads side by side."""
    counts = [0] * threads

    def work(number: int) -> None:
        counts[number] = loop(bare, pictures, number * len(pictures) // threads, seconds)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    began, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - began
    return {"pictures": sum(counts), "seconds": took, "cpu_s": time.process_time() - cpu}


def main() -> None:
    """Load, warm up, answer line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path, help="JSON file of the sets")
    parser.add_argument("--threads", type=int, default=1, help="threads of Python")
    parser.add_argument("--intra", type=int, default=1, help="threads of each ONNX Runtime session")
    arguments = parser.parse_args()
    sets = {
        name: [(Path(file).read_bytes(), names) for file, names in pictures]
        for name, pictures in json.loads(arguments.sets.read_text("utf-8")).items()
    }
    bare = Bare(arguments.intra)
    for pictures in sets.values():
        for data, _ in pictures[:4]:
            bare.ask(data, list(bare.models))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, seconds = line.split()
        sys.stdout.write(json.dumps(measure(bare, sets[name], arguments.threads, float(seconds))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
