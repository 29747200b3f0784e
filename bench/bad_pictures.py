"""A damaged picture is judged or refused in one sentence; it never does more.

5,000 JPEG, PNG and WebP files, damaged by tests/image/mutate.py (bits, cuts, inserts, swaps, header numbers; the same
seed makes the same bytes), go through `natix_cascade.image.decode`; every one that is accepted goes through
`Cascade.detect` too. A process of its own does it under a cap on its address space; when it dies, the picture that
killed it is counted and the next process goes on behind it.

Right outcomes are a picture or a `PictureError`. Anything else (another exception, a crash, a picture that takes more
than ten seconds) is a failure, is listed, and makes the exit code 1.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

import common
from natix_cascade.errors import CascadeError, PictureError
from natix_cascade.image import decode
from natix_cascade.run.cascade import Cascade
from natix_cascade.testing import render_scene

COUNT, QUICK = 5_000, 200
CAP_GIB = 4
SLOW_S = 10.0
SCENES = 3
SEED = 0


def seeds() -> dict[str, bytes]:
    """Whole pictures of every kind that is accepted."""
    files = common.module_of_tests("image/picture_files.py")
    noisy = files.noisy()
    jpeg = files.save(noisy, "JPEG", quality=85)
    found = {
        "jpeg": jpeg,
        "jpeg progressive": files.save(noisy, "JPEG", quality=85, progressive=True),
        "jpeg 4:4:4": files.save(noisy, "JPEG", quality=95, subsampling=0),
        "jpeg grey": files.save(noisy[..., 0], "JPEG"),
        "jpeg exif": files.save(noisy, "JPEG", exif=files.exif_block(6)),
        "jpeg profile": files.with_profile(jpeg, files.profile(files.DISPLAY_P3)),
        "jpeg cmyk": files.cmyk(noisy, quality=85),
        "jpeg ycck": files.ycck(noisy),
        "png": files.save(noisy, "PNG"),
        "png 16 bit grey": files.png(64, 48, 16, 0, b"".join(b"\0" + bytes(range(128)) for _ in range(48))),
        "webp": files.save(noisy, "WEBP", quality=85),
        "webp lossless": files.save(noisy, "WEBP", lossless=True, exif=files.exif_block(1)[6:]),
    }
    for number in range(SCENES):
        scene = render_scene(number, roadwork=bool(number % 2))
        found[f"jpeg scene {number}"] = scene.jpeg()
        found[f"png scene {number}"] = files.save(scene.pixels, "PNG")
        found[f"webp scene {number}"] = files.save(scene.pixels, "WEBP", quality=80)
    return found


def outcome(call: Any) -> str:
    """Name how a call ended."""
    try:
        call()
    except PictureError as error:
        return f"{type(error).__name__} {error.status}"
    except CascadeError as error:  # a model that fails on a picture is no refusal
        return f"unexpected {type(error).__name__}: {str(error)[:200]}"
    except Exception as error:  # noqa: BLE001  # to find those is what this is for
        return f"unexpected {type(error).__name__}: {str(error)[:200]}"
    return "accepted"


def work(first: int, last: int) -> None:
    """Go through pictures; a line before and a line after each."""
    resource.setrlimit(resource.RLIMIT_AS, (CAP_GIB << 30, CAP_GIB << 30))
    whole, mutate = seeds(), common.module_of_tests("image/mutate.py").mutate
    kinds = list(whole)
    with Cascade.load() as cascade:
        cascade.warm_up()
        for number in range(first, last):
            kind = kinds[number % len(kinds)]
            data = mutate(whole[kind], random.Random(f"{SEED}:{number}"))  # noqa: S311  # damage, not a secret
            _line({"number": number, "kind": kind})
            began = time.perf_counter()
            said = outcome(lambda data=data: decode(data))
            decoded = time.perf_counter()
            verdict = outcome(lambda data=data: cascade.detect(data)) if said == "accepted" else None
            now = time.perf_counter()
            _line({"decode": said, "decode_ms": (decoded - began) * 1000, "detect": verdict,
                   "detect_ms": (now - decoded) * 1000, "bytes": len(data),
                   "peak_mib": common.memory_of(os.getpid(), "VmHWM")})  # fmt: skip


def _line(item: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(item) + "\n")
    sys.stdout.flush()


def run(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Start workers until all pictures were looked at: (pictures, crashes)."""
    done: list[dict[str, Any]] = []
    crashes: list[dict[str, Any]] = []
    first = 0
    while first < count:
        begun: dict[str, Any] | None = None
        command = [common.PYTHON, __file__, "--worker", str(first), str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                item = json.loads(line)
                if "number" in item:
                    begun = item
                else:
                    done.append({**(begun or {}), **item})
                    begun = None
                    common.progress(f"{len(done)} of {count}")
            code = process.wait()
        if begun is None:
            if code or not done or done[-1]["number"] != count - 1:
                common.leave(f"the worker ended with {code} outside of any picture")
            break
        crashes.append({**begun, "exit_code": code})
        first = begun["number"] + 1
    common.progress("")
    return done, crashes


def main() -> None:
    """Measure, print, save."""
    parser = common.options(__doc__, "bad_pictures")
    parser.add_argument("--count", type=int, default=COUNT, help="how many damaged files")
    parser.add_argument("--worker", type=int, nargs=2, metavar=("FIRST", "LAST"), help="(used by the script itself)")
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker)
        return
    count = QUICK if arguments.quick else arguments.count
    done, crashes = run(count)
    judged = [item for item in done if item["detect"] is not None]
    unexpected = [
        {key: item[key] for key in ("number", "kind", "decode", "detect")}
        for item in done
        if "unexpected" in f"{item['decode']} {item['detect']}"
        or max(item["decode_ms"], item["detect_ms"]) > SLOW_S * 1000
    ] + [{**crash, "decode": "crash"} for crash in crashes]
    outcomes = Counter(item["decode"] if "unexpected" not in item["decode"] else "unexpected" for item in done)
    figures = {
        "pictures": count,
        "outcomes": dict(outcomes.most_common()),
        "by_format": {
            name: dict(Counter(item["decode"] for item in done if item["kind"].startswith(name)).most_common())
            for name in ("jpeg", "png", "webp")
        },
        "judged": len(judged),
        "verdicts": sum(item["detect"] == "accepted" for item in judged),
        "refused_by_detect_only": sum(item["detect"].startswith(("Corrupt", "Picture")) for item in judged),
        "unexpected": len(unexpected),
        "unexpected_items": unexpected[:50],
        "crashes": len(crashes),
        "decode_ms": _times([item["decode_ms"] for item in done]),
        "detect_ms": _times([item["detect_ms"] for item in judged]),
        "peak_mib": max((item["peak_mib"] for item in done), default=0.0),
        "cap_gib": CAP_GIB,
    }
    common.table(["outcome of decode", "files"], [[name, number] for name, number in outcomes.most_common()])
    times = figures["decode_ms"]
    print(f"{len(judged)} accepted ones were judged: {figures['verdicts']} verdicts")
    print(f"decode: median {times['median']:.2f} ms, longest {times['max']:.1f} ms; peak {figures['peak_mib']:.0f} MiB")
    print(f"unexpected: {len(unexpected)}\n")
    for item in unexpected[:20]:
        print(f"  {item}")
    data = {"pictures": count, "kinds": len(seeds()), "seed": SEED}
    common.save(arguments.out, __doc__, data=data, figures=figures, quick=arguments.quick)
    if unexpected:
        raise SystemExit(1)


def _times(values: list[float]) -> dict[str, float]:
    if not values:
        return {"median": 0.0, "p99": 0.0, "max": 0.0}
    return {"median": float(np.median(values)), "p99": float(np.percentile(values, 99)), "max": max(values)}


if __name__ == "__main__":
    main()
