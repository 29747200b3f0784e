"""The door, with each of the faults that a door made of list look-ups has."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natix_cascade.serve.miner.chain import roster_of
from natix_cascade.serve.miner.door import Door, Neuron, Roster

VALIDATOR = Neuron("5Validator", 1000.0, validator=True)
MINER = Neuron("5Miner", 2.0)
POOR = Neuron("5Poor", 0.5, validator=True)
ROSTER = Roster.of([VALIDATOR, MINER, POOR])


def test_a_validator_comes_in_and_its_stake_is_its_priority() -> None:
    door = Door(ROSTER)
    assert door.refusal("5Validator") is None
    assert door.priority("5Validator") == 1000.0
    assert isinstance(door.priority("5Validator"), float)


def test_an_unknown_hotkey_is_refused_and_nothing_raises() -> None:
    door = Door(ROSTER)
    assert door.refusal("5Stranger") == "the hotkey is not registered"
    assert door.priority("5Stranger") == 0.0


def test_an_unknown_hotkey_comes_in_where_that_is_wished() -> None:
    door = Door(ROSTER, allow_unregistered=True, permit=True, min_stake=10)
    assert door.refusal("5Stranger") is None
    assert door.priority("5Stranger") == 0.0
    assert door.refusal("5Miner") is not None  # registered ones still need the permit


@pytest.mark.parametrize("hotkey", [None, "", 7, b"5Validator", ["5Validator"]])
def test_a_request_without_a_hotkey_is_refused(hotkey: Any) -> None:
    for door in (Door(ROSTER), Door(ROSTER, allow_unregistered=True)):
        assert door.refusal(hotkey) == "the request names no hotkey"
        assert door.priority(hotkey) == 0.0


def test_the_permit_is_asked_for_unless_told_not_to() -> None:
    assert Door(ROSTER).refusal("5Miner") == "the hotkey has no permit to validate"
    assert Door(ROSTER, permit=False).refusal("5Miner") is None


def test_stake_is_asked_for() -> None:
    assert Door(ROSTER, min_stake=1).refusal("5Poor") == "the hotkey's stake is below 1"
    assert Door(ROSTER, min_stake=0.5).refusal("5Poor") is None
    assert Door(ROSTER, min_stake=1, permit=False).refusal("5Miner") is None


@pytest.mark.parametrize("stake", [math.nan, math.inf])
def test_stake_that_is_no_number_is_none(stake: float) -> None:
    door = Door(Roster.of([Neuron("5Odd", stake, validator=True)]), min_stake=1)
    assert door.priority("5Odd") == 0.0
    assert door.refusal("5Odd") is not None


@given(st.lists(st.builds(Neuron, st.sampled_from("abc"), st.floats(0, 1e9), st.booleans()), max_size=8))
def test_of_one_hotkey_twice_the_larger_stake_counts(neurons: list[Neuron]) -> None:
    door = Door(Roster.of(neurons))
    for hotkey in "abc":
        stakes = [neuron.stake for neuron in neurons if neuron.hotkey == hotkey]
        assert door.priority(hotkey) == max(stakes, default=0.0)


def test_a_new_roster_counts_from_the_next_request() -> None:
    door = Door(Roster.of([]))
    assert door.refusal("5Validator") is not None
    door.roster = ROSTER
    assert door.refusal("5Validator") is None


def test_a_metagraph_is_read() -> None:
    graph = SimpleNamespace(
        hotkeys=["5A", "5B"],
        S=np.array([10.5, 0.0], np.float32),
        validator_permit=np.array([True, False]),
    )
    assert roster_of(graph) == Roster.of([Neuron("5A", 10.5, validator=True), Neuron("5B", 0.0)])
    assert roster_of(graph).neurons["5A"].validator is True
    graph.hotkeys.append("5C")  # half read
    with pytest.raises(ValueError, match="shorter"):
        roster_of(graph)
