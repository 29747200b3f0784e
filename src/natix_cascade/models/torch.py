"""The torch engine: networks that are the user's own, and what every engine on torch needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.errors import MissingExtraError, ModelError, TransientModelError
from natix_cascade.image.resize import fit
from natix_cascade.models.base import Answers, LoadOptions
from natix_cascade.models.classify import check_classes, read_scores
from natix_cascade.models.prepared import only_dark, with_memory
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Classify

__all__ = ["ADFNET_FILE", "TorchModel", "Workbench", "first_line", "read_tensors"]

ADFNET_FILE = "model.safetensors"
_GAMMA = 1 / 2.2
_STAGES = 4
_EPSILON = 1e-5  # of batch normalisation
_STREAMS = ("plain", "bright")


@dataclass(frozen=True, slots=True)
class Workbench:
    """Where a model's arithmetic happens.

    Attributes
    ----------
    torch : module
        The library.
    device : object
        A ``torch.device``.
    dtype : object
        bfloat16 on a GPU, float32 on a CPU.
    threads : int
        Of one answer on the CPU.
    """

    torch: Any
    device: Any
    dtype: Any
    threads: int

    @classmethod
    def of(cls, card: ModelCard, options: LoadOptions) -> Workbench:
        """Find the device.

        Raises
        ------
        MissingExtraError
            torch is not installed.
        ModelError
            There is no such device.
        """
        try:
            import torch  # noqa: PLC0415  # not everybody has it
        except ImportError as error:
            raise MissingExtraError(
                f"model {card.name!r} runs on torch, which is not installed: pip install 'natix-cascade[torch]'"
            ) from error
        wanted = options.device
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(wanted)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"model {card.name!r}: no device {options.device!r} here ({first_line(error)}); write cpu, cuda, "
                "cuda:1, or auto"
            ) from error
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        return cls(torch, device, dtype, max(1, options.threads))

    def pixels(
        self, batch: Sequence[NDArray[np.generic]], scale: float, mean: Sequence[float], std: Sequence[float]
    ) -> Any:
        """Pictures ``(H, W, 3)`` uint8 of one size as ``(n, 3, H, W)``: scaled, normalised, on the device."""
        raw = self.torch.from_numpy(np.stack(batch)).to(self.device, non_blocking=True)
        scaled = raw.permute(0, 3, 1, 2).float() * scale
        return self.normal(scaled, mean, std)

    def normal(self, scaled: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
        """``(x - mean) / std`` for each channel, in the network's precision."""
        shift = self.torch.tensor(mean, device=self.device).view(1, 3, 1, 1)
        spread = self.torch.tensor(std, device=self.device).view(1, 3, 1, 1)
        return ((scaled - shift) / spread).to(self.dtype).contiguous()

    @contextlib.contextmanager
    def asked(self, card: ModelCard, n: int) -> Iterator[None]:
        """No gradients, the model's own number of threads, and errors in one line.

        torch keeps the number of threads for each thread that calls it, so each worker sets its own before it
        computes; a GPU does not care.

        Raises
        ------
        TransientModelError
            Memory ran out.
        ModelError
            Anything else.
        """
        if self.device.type == "cpu" and self.torch.get_num_threads() != self.threads:
            self.torch.set_num_threads(self.threads)
        try:
            with self.torch.inference_mode():
                yield
        except ModelError:
            raise
        except Exception as error:
            if isinstance(error, self.torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error):
                if self.device.type == "cuda":
                    self.torch.cuda.empty_cache()
                raise TransientModelError(
                    f"model {card.name!r}: out of memory on {self.device} with {n} pictures at once; set a smaller "
                    "max_batch for it, or leave another model out"
                ) from error
            raise ModelError(f"model {card.name!r} failed: {first_line(error)}") from error


class TorchModel:
    """ADFNet: two ResNet-50 streams, the second on the brightened picture, and a head over both.

    The widths and depths are those of the tensors; their names are torchvision's for a ResNet-50 under ``plain.`` and
    ``bright.``, then ``fuse.weight`` ``(hidden, 2 * features)``, ``fuse.bias``, ``out.weight`` ``(1 or classes,
    hidden)``, ``out.bias``.

    Parameters
    ----------
    card : ModelCard
        Whose task is `Classify`, usually with `dark_below`; its input's size, fit, mean and std hold.
    weights : Path
        A folder with ``model.safetensors``.
    options : LoadOptions or None
        Device and threads.

    Raises
    ------
    ModelError
        The weights are missing or are not of this network.
    """

    def __init__(self, card: ModelCard, weights: Path, options: LoadOptions | None = None) -> None:
        if not isinstance(card.task, Classify):
            raise ModelError(f"model {card.name!r}: the torch engine classifies; its card's task is {card.task.kind}")
        check_classes(card)
        self._card, self._dark_below = card, card.task.dark_below
        self._bench = Workbench.of(card, options or LoadOptions())
        file = weights / ADFNET_FILE if weights.is_dir() else weights
        tensors = read_tensors(card, file)
        _check_adfnet(card, tensors, file)
        bench = self._bench
        self._tensors: dict[str, Any] | None = {
            name: tensor.to(bench.device, bench.dtype) for name, tensor in tensors.items() if tensor.is_floating_point()
        }

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        return self._card

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One picture ``(H, W, 3)`` uint8 at the card's size; night specialists also keep how light it was."""
        spec = self._card.input
        view = fit(pixels, spec.height, spec.width, mode=spec.fit)
        return view if self._dark_below is None else with_memory(view, pixels)

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer a batch of prepared pictures; there is nothing to explain."""
        del explain
        if self._tensors is None:
            raise ModelError(f"model {self._card.name!r} is closed; load it again to ask more")
        if self._dark_below is not None:
            return only_dark(batch, self._dark_below, self._classify)
        return self._classify(batch)

    def close(self) -> None:
        """Free the weights."""
        self._tensors = None

    def _classify(self, batch: Sequence[NDArray[np.generic]]) -> Answers:
        tensors, spec, bench = self._tensors, self._card.input, self._bench
        with bench.asked(self._card, len(batch)):
            plain = bench.pixels(batch, 1 / 255, (0, 0, 0), (1, 1, 1)).float()
            both = (plain, plain**_GAMMA)
            features = [
                _resnet(bench.torch, tensors, f"{name}.", bench.normal(view, spec.mean, spec.std))
                for name, view in zip(_STREAMS, both, strict=True)
            ]
            raw = _head(bench.torch, tensors, bench.torch.cat(features, dim=1)).float().cpu().numpy()
        return Answers(read_scores(self._card, raw.astype(np.float64), len(batch)))


def read_tensors(card: ModelCard, file: Path) -> dict[str, Any]:
    """All tensors of a safetensors file; nothing is ever unpickled.

    Raises
    ------
    ModelError
        There is no such file, or it is none.
    """
    if not file.is_file():
        pickled = sorted(each.name for kind in ("*.pt", "*.pth", "*.bin") for each in file.parent.glob(kind))
        hint = f", only {', '.join(pickled)}, which is never loaded: convert it once" if pickled else ""
        raise ModelError(f"model {card.name!r}: no {file.name} in {file.parent}{hint}; see natix-cascade models link")
    from safetensors.torch import load_file  # noqa: PLC0415  # comes with transformers; needs torch

    try:
        return dict(load_file(str(file)))
    except Exception as error:
        raise ModelError(f"model {card.name!r}: {file} is no safetensors file: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """An error's first line that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _check_adfnet(card: ModelCard, tensors: dict[str, Any], file: Path) -> None:
    wanted = [f"{name}.conv1.weight" for name in _STREAMS]
    wanted += [f"{name}.layer{stage}.0.conv3.weight" for name in _STREAMS for stage in range(1, _STAGES + 1)]
    wanted += ["fuse.weight", "fuse.bias", "out.weight", "out.bias"]
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise ModelError(
            f"model {card.name!r}: {file} lacks {missing[0]!r} and {len(missing) - 1} more of ADFNet; its tensors are "
            f"plain.* and bright.* (as torchvision names a ResNet-50), fuse.* and out.*; the file has "
            f"{', '.join(sorted(tensors)[:3])}..."
        )
    features = sum(int(tensors[f"{name}.layer4.0.conv3.weight"].shape[0]) for name in _STREAMS)
    hidden = int(tensors["fuse.weight"].shape[0])
    outputs = 1 if card.output.kind in {"logit", "probability"} else len(card.classes)
    shapes = tuple(tensors["fuse.weight"].shape), tuple(tensors["out.weight"].shape)
    if shapes != ((hidden, features), (outputs, hidden)):
        raise ModelError(
            f"model {card.name!r}: {file}: fuse.weight and out.weight are {shapes[0]} and {shapes[1]}; two streams of "
            f"{features // 2} features and output kind {card.output.kind!r} want {(hidden, features)} and "
            f"{(outputs, hidden)}"
        )


def _resnet(torch: Any, tensors: Any, prefix: str, x: Any) -> Any:
    """Pooled features ``(n, features)`` of a residual network with bottlenecks (https://arxiv.org/abs/1512.03385)."""
    functional = torch.nn.functional
    x = functional.conv2d(x, tensors[f"{prefix}conv1.weight"], stride=2, padding=3)
    x = functional.relu(_norm(functional, tensors, f"{prefix}bn1", x))
    x = functional.max_pool2d(x, 3, stride=2, padding=1)
    for stage in range(1, _STAGES + 1):
        block = 0
        while f"{prefix}layer{stage}.{block}.conv1.weight" in tensors:
            stride = 2 if stage > 1 and block == 0 else 1
            x = _bottleneck(functional, tensors, f"{prefix}layer{stage}.{block}.", x, stride)
            block += 1
    return x.mean(dim=(2, 3))


def _bottleneck(functional: Any, tensors: Any, prefix: str, x: Any, stride: int) -> Any:
    """1x1, 3x3 (which strides) and 1x1 convolutions beside a shortcut."""
    y = functional.conv2d(x, tensors[f"{prefix}conv1.weight"])
    y = functional.relu(_norm(functional, tensors, f"{prefix}bn1", y))
    y = functional.conv2d(y, tensors[f"{prefix}conv2.weight"], stride=stride, padding=1)
    y = functional.relu(_norm(functional, tensors, f"{prefix}bn2", y))
    y = _norm(functional, tensors, f"{prefix}bn3", functional.conv2d(y, tensors[f"{prefix}conv3.weight"]))
    if f"{prefix}downsample.0.weight" in tensors:
        x = functional.conv2d(x, tensors[f"{prefix}downsample.0.weight"], stride=stride)
        x = _norm(functional, tensors, f"{prefix}downsample.1", x)
    return functional.relu(x + y)


def _norm(functional: Any, tensors: Any, name: str, x: Any) -> Any:
    mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
    return functional.batch_norm(x, mean, variance, tensors[f"{name}.weight"], tensors[f"{name}.bias"], eps=_EPSILON)


def _head(torch: Any, tensors: Any, features: Any) -> Any:
    hidden = torch.nn.functional.relu(features @ tensors["fuse.weight"].T + tensors["fuse.bias"])
    return hidden @ tensors["out.weight"].T + tensors["out.bias"]
