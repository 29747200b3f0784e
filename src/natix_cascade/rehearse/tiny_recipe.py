"""What a tiny model is made of, as data: configuration, tokens, chat template, picture processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from natix_cascade.rehearse.tiny_tokenizer import SpecialTokens, Vocabulary

__all__ = ["CHAT_TEMPLATE", "LENGTH", "Json", "Recipe", "chat_template", "default_rope", "language_config"]

Json: TypeAlias = dict[str, Any]

LENGTH = 4096
"""Most tokens that a tiny model takes."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{ START }}{{ message.role }}{{ MIDDLE }}
{%- if message.content is string -%}{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type in ("image", "image_url") -%}{{ PICTURE }}
{%- elif part.type == "text" -%}{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{ END }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ START }}assistant{{ MIDDLE }}{{ THOUGHT }}
{%- endif -%}
"""
"""Chat template whose names in capitals are filled in by `chat_template`."""

_NO_THOUGHT = (
    '{%- if enable_thinking is defined and not enable_thinking -%}{{ "<think>\\n\\n</think>\\n\\n" }}{%- endif -%}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the tiny instance of an architecture is built.

    Attributes
    ----------
    model, configuration : str
        Classes in transformers.
    tokens : SpecialTokens
        Tokens beside the text's own.
    template : str
        Chat template.
    options : callable
        From the vocabulary to the arguments of the configuration's class.
    files : mapping of str to dict
        JSON files of the processor.
    spread : float
        Standard deviation of the random weights; large enough that the answer depends on the picture.
    transposed : str
        Pattern of the weights that the published files hold the other way round than transformers writes them.
    """

    model: str
    configuration: str
    tokens: SpecialTokens
    template: str
    options: Callable[[Vocabulary], Json]
    files: Mapping[str, Json]
    spread: float = 0.15
    transposed: str = ""


def chat_template(*, start: str, middle: str, end: str, picture: str, thinks: bool = False) -> str:
    """Chat template of a family.

    Parameters
    ----------
    start, middle, end : str
        Around the role and the content of a message: `start` role `middle` content `end`.
    picture : str
        What stands for a picture.
    thinks : bool
        ``enable_thinking=False`` puts an empty chain of thought before the answer.
    """
    filled = CHAT_TEMPLATE
    for name, text in (("START", start), ("MIDDLE", middle), ("END", end), ("PICTURE", picture)):
        filled = filled.replace("{{ " + name + " }}", "{{ " + _quote(text) + " }}")
    return filled.replace("{{ THOUGHT }}", _NO_THOUGHT if thinks else "")


def language_config(vocabulary: Vocabulary, *, end: str, pad: str, **more: object) -> Json:
    """Configuration of a tiny language model, as most of them write it; `more` comes first."""
    return {
        "vocab_size": vocabulary.size,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": LENGTH,
        "rope_parameters": default_rope(),
        "bos_token_id": vocabulary[pad],
        "eos_token_id": vocabulary[end],
        "pad_token_id": vocabulary[pad],
        **more,
    }


def default_rope(**more: Any) -> Json:
    """Rotary position embedding with the usual base."""
    return {"rope_type": "default", "rope_theta": 10_000.0, **more}


def _quote(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'
