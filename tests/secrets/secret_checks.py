"""What several tests of secrets look at."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def everything_of(error: BaseException | None) -> str:
    """All that an exception carries: texts, attributes, and those that it came from, shown or not."""
    said: list[str] = []
    seen: set[int] = set()
    rest = [error]
    while rest:
        one = rest.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        said += traceback.format_exception(one)
        said += [repr(one.args), repr(vars(one))]
        for name in ("request", "response"):
            with suppress(AttributeError):
                said.append(repr(vars(getattr(one, name))))
        rest += [one.__cause__, one.__context__]
    return "\n".join(said)
