from __future__ import annotations

import pytest

from natix_cascade.rehearse.chat_choice import allowed_tokens

PIECES = ["y", "e", "s", "ye", "yes", "no", "n", "o", "not", "", "\N{REPLACEMENT CHARACTER}", "<end>"]
END = 11


def names(choices: list[str], said: str) -> set[str]:
    return {PIECES[token] for token in allowed_tokens(choices, said, PIECES, [END])}


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("", {"y", "ye", "yes", "n", "no"}),
        ("y", {"e"}),
        ("ye", {"s"}),
        ("yes", {"<end>"}),
        ("no", {"<end>"}),
    ],
)
def test_only_pieces_on_the_way_to_a_choice(said: str, allowed: set[str]) -> None:
    assert names(["yes", "no"], said) == allowed


def test_a_choice_that_begins_another_may_end_or_go_on() -> None:
    assert names(["no", "not", "noo"], "no") == {"<end>", "o"}


def test_tokens_without_text_are_never_allowed() -> None:
    assert "" not in names(["yes"], "")
