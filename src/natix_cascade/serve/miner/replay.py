"""Which signed requests were seen before: each counts once, in whatever order they arrive."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Replays"]

_NS = 1_000_000_000


class Replays:
    """Remembers the nonces (nanoseconds since 1970) of verified requests, by sender.

    The axon's own memory is the highest nonce alone, and so refuses a request that was overtaken by a younger one of
    the same sender, although it is new: with several under way on several connections that happens.

    Parameters
    ----------
    reach_s : float
        How far below a sender's highest nonce another one may lie.
    senders : int
        How many are remembered; the one that has been silent for longest is forgotten first.
    """

    def __init__(self, reach_s: float = 10.0, senders: int = 10_000) -> None:
        self._reach = int(reach_s * _NS)
        self._most = senders
        self._seen: OrderedDict[str, set[int]] = OrderedDict()

    def known(self, sender: str, nonce: int) -> bool:
        """Whether this request was here before, or is too old to tell."""
        seen = self._seen.get(sender)
        return seen is not None and (nonce in seen or nonce <= max(seen) - self._reach)

    def remember(self, sender: str, nonce: int) -> None:
        """Take note of a request that was verified."""
        seen = self._seen.setdefault(sender, set())
        self._seen.move_to_end(sender)
        seen.add(nonce)
        oldest = max(seen) - self._reach
        seen.difference_update([each for each in seen if each <= oldest])
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)
