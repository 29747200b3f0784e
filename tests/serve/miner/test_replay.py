from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.serve.miner.replay import Replays

SECOND = 1_000_000_000
nonces = st.lists(st.integers(0, 40), max_size=60)


@given(nonces, st.integers(1, 20))
def test_no_request_counts_twice_and_young_ones_count_in_any_order(seconds: list[int], reach: int) -> None:
    replays, taken = Replays(reach_s=reach), list[int]()
    for second in seconds:
        known = replays.known("a", second * SECOND)
        assert known == (second in taken or (bool(taken) and second <= max(taken) - reach))
        if not known:
            replays.remember("a", second * SECOND)
            taken.append(second)
    assert len(taken) == len(set(taken))


def test_senders_do_not_know_each_other() -> None:
    replays = Replays()
    replays.remember("a", 5 * SECOND)
    assert replays.known("a", 5 * SECOND)
    assert not replays.known("b", 5 * SECOND)
    assert not replays.known("b", 0)


def test_memory_is_bounded() -> None:
    replays = Replays(reach_s=1, senders=2)
    for second in range(100):
        replays.remember("a", second * SECOND)
    assert len(replays._seen["a"]) == 1
    for sender in "bca":
        replays.remember(sender, 1000 * SECOND)
    assert set(replays._seen) == {"c", "a"}
