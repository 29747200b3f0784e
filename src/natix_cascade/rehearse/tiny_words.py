"""Tiny tokenizers of the true kinds: every letter is a token, nothing is merged, nothing is trained."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

__all__ = ["FLORENCE_PLACES", "write_bert_words", "write_clip_words", "write_florence_words", "write_gemma_words"]

FLORENCE_PLACES = 1000
"""Florence-2 counts places in the picture in thousandths."""
_BERT_FIXED = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
"""Grounding DINO knows the marks between its phrases by their numbers in BERT's vocabulary."""


def write_florence_words(folder: Path) -> Any:
    """BART's byte-level kind, with Florence-2's tokens for places and for the picture."""
    import transformers  # noqa: PLC0415  # heavy, and not everybody has it

    first = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *_byte_letters()]
    picture = {"image_token": "<image>"}
    words = transformers.BartTokenizer(vocab=_numbered(first), merges=[], extra_special_tokens=picture)
    words.add_tokens([f"<loc_{place}>" for place in range(FLORENCE_PLACES)])
    words.save_pretrained(str(folder))
    return words


def write_clip_words(folder: Path) -> Any:
    """CLIP's byte-level kind, in which the last letter of a word is another token."""
    import transformers  # noqa: PLC0415  # heavy, and not everybody has it

    letters = _byte_letters()
    every = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    words = transformers.CLIPTokenizer(vocab=_numbered(every), merges=[])
    words.save_pretrained(str(folder))
    return words


def write_bert_words(folder: Path) -> Any:
    """BERT's kind, with its marks in their true places."""
    import transformers  # noqa: PLC0415  # heavy, and not everybody has it

    letters = [*string.ascii_lowercase, *string.digits, *",-'!&/"]
    free = iter([*letters, *(f"##{letter}" for letter in letters)])
    places = range(max(_BERT_FIXED) + 1)
    every = [_BERT_FIXED.get(place) or next(free, f"[unused{place}]") for place in places]
    words = transformers.BertTokenizer(vocab=_numbered(every), do_lower_case=True)
    words.save_pretrained(str(folder))
    return words


def write_gemma_words(folder: Path) -> Any:
    """Gemma's kind, which falls back to bytes."""
    import transformers  # noqa: PLC0415  # heavy, and not everybody has it

    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    every = [*marks, *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *string.ascii_letters, *string.digits]
    words = transformers.GemmaTokenizer(vocab=_numbered(every), merges=[])
    words.save_pretrained(str(folder))
    return words


def _byte_letters() -> list[str]:
    """The printable stand-ins for the 256 bytes."""
    from tokenizers import pre_tokenizers  # noqa: PLC0415  # comes with transformers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _numbered(every: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(every)}
