"""A small byte-level tokenizer: every text can be written with it, and the answers are one token each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ANSWERS", "SpecialTokens", "Vocabulary", "write_tokenizer"]

ANSWERS = ("yes", "no", "Yes", "No", "YES", "NO")
"""Words that are one token, with and without a space before them."""

_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # how byte-level tokenizers write the space
_ROUND = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Tokens beside the text's own.

    Attributes
    ----------
    names : tuple of str
        All of them, in the order of their ids.
    end : str
        Ends an answer.
    pad : str
        Fills up shorter rows.
    begin : str or None
        Begins every prompt.
    roles : mapping of str to str
        Attributes that the processor reads from the tokenizer, such as ``image_token``.
    """

    names: tuple[str, ...]
    end: str
    pad: str
    begin: str | None = None
    roles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a model's configuration has to know of its tokenizer.

    Attributes
    ----------
    ids : dict of str to int
        Special tokens.
    used : int
        Tokens that exist.
    size : int
        Rows of the embedding: `used`, rounded up to a multiple of 64.
    """

    ids: dict[str, int]
    used: int

    @property
    def size(self) -> int:
        """Rows of the embedding."""
        return -(-self.used // _ROUND) * _ROUND

    def __getitem__(self, token: str) -> int:
        """Id of a special token."""
        return self.ids[token]


def write_tokenizer(folder: Path, special: SpecialTokens, template: str, *, length: int) -> Vocabulary:
    """Write ``tokenizer.json``, its configuration and the chat template.

    Parameters
    ----------
    folder : Path
        Folder of the model; it exists.
    special : SpecialTokens
        Tokens beside the text's own.
    template : str
        Jinja chat template.
    length : int
        Most tokens that the model takes.

    Returns
    -------
    Vocabulary
        Ids and sizes.
    """
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415  # slow to import

    tokenizer = _byte_level(special.names)
    ids = {name: tokenizer.token_to_id(name) for name in special.names}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=special.begin,
        eos_token=special.end,
        pad_token=special.pad,
        model_max_length=length,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=dict(special.roles),
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    return Vocabulary(ids, tokenizer.get_vocab_size())


def _byte_level(special: Sequence[str]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415  # extra

    vocabulary, merges = _vocabulary(sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return tokenizer


def _vocabulary(alphabet: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """All bytes, and the answers put together letter by letter, then with the space before them."""
    tokens = list(alphabet)
    merges: list[tuple[str, str]] = []
    for word in ANSWERS:
        merges.extend((word[:end], word[end]) for end in range(1, len(word)))
        merges.append((_SPACE, word))
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    return {token: index for index, token in enumerate(tokens)}, list(dict.fromkeys(merges))
