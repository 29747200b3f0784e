"""A vision-language model from a folder, answering chats with transformers: true classes, one request at a time."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natix_cascade.errors import MissingExtraError, ModelError
from natix_cascade.models import cpu_torchvision
from natix_cascade.rehearse.chat_choice import ChoiceMask
from natix_cascade.rehearse.chat_protocol import ChatError, ChatRequest, conversation

__all__ = ["Answer", "ChatModel", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One token of an answer.

    Attributes
    ----------
    token : int
        The chosen one.
    logprobs : list of (int, float)
        It, then what was asked for: the likeliest or the named tokens.
    """

    token: int
    logprobs: list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said.

    Attributes
    ----------
    text : str
        Without special tokens, cut before the text that stopped it.
    steps : list of Step
        Every token, the one that ended it too.
    prompt_tokens : int
        Length of the prompt, pictures included.
    finish : str
        ``"stop"`` or ``"length"``.
    """

    text: str
    steps: list[Step]
    prompt_tokens: int
    finish: str


class ChatModel:
    """A folder that transformers loads, as something that answers chats.

    Parameters
    ----------
    folder : Path
        Configuration, safetensors, tokenizer, processor.

    Raises
    ------
    ModelError
        The folder does not hold a model that can answer.
    MissingExtraError
        torch or transformers is not installed.
    """

    def __init__(self, folder: Path) -> None:
        has_torchvision = cpu_torchvision.install()
        try:
            import torch  # noqa: PLC0415  # extra
            import transformers  # noqa: PLC0415  # extra
        except ImportError as error:
            raise MissingExtraError(
                f"the chat server needs torch and transformers ({error}); pip install them"
            ) from error
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no model: there is no config.json; build one with build_tiny_vlm")
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            model_class = getattr(transformers, config.architectures[0])
            self._model = model_class.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True).eval()
            self._processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
        except ImportError as error:
            hint = "" if has_torchvision else "; torchvision is missing: pip install --no-deps torchvision"
            raise MissingExtraError(f"the model in {folder} cannot be loaded{hint}: {error}") from error
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise ModelError(f"the model in {folder} cannot be loaded: {error}") from error
        self._torch = torch
        self._tokenizer = self._processor.tokenizer
        self._lock = threading.Lock()
        ends = self._model.generation_config.eos_token_id
        self._ends = {ends} if isinstance(ends, int) else set(ends or ())
        places = config.get_text_config().max_position_embeddings
        self.length = int(min(self._tokenizer.model_max_length, places))
        self.vocabulary = len(self._tokenizer)
        self._pieces = [self._tokenizer.decode([token]) for token in range(self.vocabulary)]

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text."""
        return list(self._tokenizer.encode(text, add_special_tokens=special))

    def piece(self, token: int) -> str:
        """A token's text; empty where its bytes alone are no character, as vLLM gives it."""
        return self._pieces[token].replace("\N{REPLACEMENT CHARACTER}", "") if token < self.vocabulary else ""

    def answer(self, request: ChatRequest) -> Answer:
        """Answer a chat; others wait meanwhile.

        Raises
        ------
        ChatError
            The request does not fit this model.
        """
        named = request.logprob_token_ids or []
        outside = [token for token in named if token >= self.vocabulary]
        if outside:
            raise ChatError(
                f"logprob_token_ids {outside} are not in the vocabulary of {self.vocabulary} tokens",
                param="logprob_token_ids",
            )
        inputs = self._inputs(request)
        length = int(inputs["input_ids"].shape[1])
        if length + request.limit > self.length:
            raise ChatError(
                f"the prompt has {length} tokens and the answer may have {request.limit}; "
                f"together at most {self.length}",
                param="max_tokens",
            )
        with self._lock, self._torch.inference_mode(), self._torch.random.fork_rng(devices=[]):
            self._torch.manual_seed(request.seed)
            out = self._model.generate(**inputs, **self._settings(request, length))
        tokens = out.sequences[0, length:].tolist()
        scores = self._torch.stack(out.scores)[:, 0].float().log_softmax(-1)
        steps = [self._step(request, token, row) for token, row in zip(tokens, scores, strict=True)]
        return self._finish(request, steps, length)

    def _inputs(self, request: ChatRequest) -> dict[str, Any]:
        talk = conversation(request)
        render = (self._processor if self._processor.chat_template else self._tokenizer).apply_chat_template
        options = {
            "add_generation_prompt": request.add_generation_prompt and not request.continue_final_message,
            "continue_final_message": request.continue_final_message,
            **request.chat_template_kwargs,
        }
        try:
            prompt = render(talk.messages, tokenize=False, **options)
            made = self._processor(text=[prompt], images=talk.pictures or None, return_tensors="pt")
        except (ValueError, TypeError, IndexError) as error:
            raise ChatError(f"the prompt cannot be made: {error}", param="messages") from error
        half = self._torch.bfloat16
        return {
            name: value.to(half) if value.is_floating_point() else value
            for name, value in made.items()
            if isinstance(value, self._torch.Tensor)
        }

    def _settings(self, request: ChatRequest, length: int) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "max_new_tokens": request.limit,
            "do_sample": request.temperature > 0,
            "return_dict_in_generate": True,
            "output_scores": True,
        }
        if request.temperature > 0:
            settings.update(temperature=request.temperature, top_k=0, top_p=1.0)
        if request.stops:
            settings.update(stop_strings=request.stops, tokenizer=self._tokenizer)
        if request.structured_outputs is not None:
            choices = request.structured_outputs.choice
            settings["logits_processor"] = [ChoiceMask(choices, self._pieces, sorted(self._ends), length)]
        return settings

    def _step(self, request: ChatRequest, token: int, row: Any) -> Step:
        if not request.logprobs:
            return Step(token, [])
        others = request.logprob_token_ids
        if others is None:
            others = row.topk(request.top_logprobs).indices.tolist() if request.top_logprobs else []
        wanted = list(dict.fromkeys([token, *others]))
        return Step(token, [(index, max(float(row[index]), -9999.0)) for index in wanted])

    def _finish(self, request: ChatRequest, steps: list[Step], length: int) -> Answer:
        ended = steps[-1].token in self._ends
        text = self._tokenizer.decode([step.token for step in steps], skip_special_tokens=True)
        text = text.rstrip("\N{REPLACEMENT CHARACTER}")  # a character that is not complete
        for stop in request.stops:
            head, found, _ = text.partition(stop)
            text, ended = head, ended or bool(found)
        if request.structured_outputs is not None and text in request.structured_outputs.choice:
            ended = True
        return Answer(text, steps, length, "stop" if ended else "length")
