"""The transformers engine: networks of nine architectures, each read as its card's task says.

Here they are found, loaded and shared; what their outputs mean stands in `readers`.
"""

from __future__ import annotations

import functools
import json
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natix_cascade.decide.evidence import Evidence
from natix_cascade.errors import MissingExtraError, ModelError
from natix_cascade.models import cpu_torchvision
from natix_cascade.models.base import Answers, LoadOptions
from natix_cascade.models.preprocess import Preprocessor
from natix_cascade.models.readers import (
    HEAD_FILE,
    Classifier,
    Comparer,
    Detector,
    Grounder,
    Network,
    Said,
    Segmenter,
    Surveyor,
    Teller,
)
from natix_cascade.models.torch import Workbench, first_line
from natix_cascade.spec.card import ModelCard
from natix_cascade.spec.task import Classify, Depth, Detect, Find, Tell, ZeroShot

__all__ = ["ARCHITECTURES", "TransformersModel"]

_NETWORKS: weakref.WeakValueDictionary[tuple[str, ...], Network] = weakref.WeakValueDictionary()
_LOADING = threading.Lock()  # transformers changes torch's defaults while it loads


class TransformersModel:
    """A network from a folder in the layout of the model hub.

    Parameters
    ----------
    card : ModelCard
        Its task says what is asked and how the answer is read.
    weights : Path
        Folder with ``config.json``, ``*.safetensors``, and what its processor needs.
    options : LoadOptions or None
        Device and threads. On a GPU the network runs in bfloat16 (DETRs in float32), on a CPU in float32, in either
        case as it was written: nothing is compiled.

    Raises
    ------
    ModelError
        The folder does not hold what the card promises; the text says what is missing.
    """

    def __init__(self, card: ModelCard, weights: Path, options: LoadOptions | None = None) -> None:
        self._card = card
        name = _architecture(card, weights)
        kind = ARCHITECTURES[name]
        if not isinstance(card.task, kind.task):
            raise ModelError(
                f"model {card.name!r}: {name} does {kind.task.__name__.lower()}; its card's task is {card.task.kind}"
            )
        bench = Workbench.of(card, options or LoadOptions())
        self._bench = replace(bench, dtype=bench.torch.float32) if kind.places else bench
        self._preprocess = Preprocessor.read(weights, name, card.input)
        self._network: Network | None = _shared_network(card, weights, kind.network, self._bench)
        with self._bench.asked(card, 0):
            self._ask: Callable[[Any], Said] | None = kind.reader(card, self._network, self._bench)

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        return self._card

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One picture ``(H, W, 3)`` uint8 at the network's size; its device normalises it."""
        return self._preprocess(pixels)

    def predict(self, batch: Sequence[NDArray[np.generic]], *, explain: bool = False) -> Answers:
        """Answer a batch; pictures of one prepared size go through the network together."""
        del explain  # evidence costs nothing more
        network, ask = self._network, self._ask
        if network is None or ask is None:
            raise ModelError(f"model {self._card.name!r} is closed; load it again to ask more")
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, item in enumerate(batch):
            groups.setdefault(item.shape, []).append(index)
        said: dict[int, tuple[float, Evidence | None]] = {}
        how = self._preprocess
        for indices in groups.values():
            with self._bench.asked(self._card, len(indices)), network.lock:
                pixels = self._bench.pixels([batch[i] for i in indices], how.scale, how.mean, how.std)
                said.update(zip(indices, ask(pixels), strict=True))
        ordered = [said[index] for index in range(len(batch))]
        scores: NDArray[np.float64] = np.array([score for score, _ in ordered], np.float64)
        if not np.isfinite(scores).all():
            raise ModelError(f"model {self._card.name!r} answered with NaN or infinity")
        evidence = tuple(seen for _, seen in ordered)
        return Answers(scores, evidence=None if all(seen is None for seen in evidence) else evidence)

    def close(self) -> None:
        """Let go of the network; it is freed when no other role holds it."""
        self._network = self._ask = None


@dataclass(frozen=True, slots=True)
class _Architecture:
    """What transformers calls the network, what reads its outputs, and the task that it does.

    `places`: it computes with places in the picture as numbers; in bfloat16 these give NaN or other boxes.
    """

    network: str
    reader: Callable[[ModelCard, Network, Workbench], Callable[[Any], Said]]
    task: type[Any]
    places: bool = False


ARCHITECTURES: dict[str, _Architecture] = {
    "florence2": _Architecture("Florence2ForConditionalGeneration", Teller, Tell),
    "dinov3_vit": _Architecture("DINOv3ViTModel", Classifier, Classify),
    "rt_detr_v2": _Architecture("RTDetrV2ForObjectDetection", Detector, Detect, places=True),
    "d_fine": _Architecture("DFineForObjectDetection", Detector, Detect, places=True),
    "rf_detr": _Architecture("RfDetrForObjectDetection", Detector, Detect, places=True),
    "grounding-dino": _Architecture("GroundingDinoForObjectDetection", Grounder, Find, places=True),
    "sam3": _Architecture("Sam3Model", Segmenter, Find),
    "siglip": _Architecture("SiglipModel", Comparer, ZeroShot),
    "depth_anything": _Architecture("DepthAnythingForDepthEstimation", Surveyor, Depth),
}
"""By ``model_type`` of the folder's configuration."""
_ALIASES = {"sam3_video": "sam3"}  # the published checkpoint holds a tracker too, which is not loaded


def _architecture(card: ModelCard, folder: Path) -> str:
    """The folder's architecture; what is missing in it is said here."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"model {card.name!r}: no config.json in {folder}; wanted a folder as the model hub lays it out; get it "
            f"with: natix-cascade models fetch {card.name}"
        )
    try:
        found = json.loads(path.read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"model {card.name!r}: {path} cannot be read: {first_line(error)}") from error
    name = _ALIASES.get(found, found)
    if name not in ARCHITECTURES:
        raise ModelError(
            f"model {card.name!r}: {path} names the architecture {found!r}; this engine runs {', '.join(ARCHITECTURES)}"
        )
    if not any(file.name != HEAD_FILE for file in folder.glob("*.safetensors")):
        pickled = sorted(each.name for kind in ("*.bin", "*.pt", "*.pth") for each in folder.glob(kind))
        why = f"only {', '.join(pickled)}, which is pickled and never loaded" if pickled else "no weights at all"
        raise ModelError(
            f"model {card.name!r}: no *.safetensors in {folder}, {why}; get it with: natix-cascade models fetch "
            f"{card.name}"
        )
    return str(name)


def _shared_network(card: ModelCard, folder: Path, kind: str, bench: Workbench) -> Network:
    """The network of a folder, loaded once for all roles that hold it at a time."""
    key = (str(folder.resolve()), kind, str(bench.device), str(bench.dtype))
    with _LOADING:
        network = _NETWORKS.get(key)
        if network is None:
            network = _load(card, folder, kind, bench)
            _NETWORKS[key] = network
        return network


def _load(card: ModelCard, folder: Path, kind: str, bench: Workbench) -> Network:
    transformers = _transformers(card)
    try:
        network = getattr(transformers, kind)
        module, report = network.from_pretrained(
            str(folder),
            dtype=bench.dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (AttributeError, ImportError) as error:
        raise MissingExtraError(
            f"model {card.name!r}: transformers {transformers.__version__} cannot give {kind}: {first_line(error)}; "
            "wanted 5.23 or newer (SAM 3 also needs torchvision)"
        ) from error
    except Exception as error:
        raise ModelError(f"model {card.name!r}: {folder} cannot be loaded: {first_line(error)}") from error
    missing = sorted({*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])})
    if missing:
        raise ModelError(
            f"model {card.name!r}: the weights in {folder} lack {len(missing)} of the network's tensors, such as "
            f"{missing[0]}; fetch the model again"
        )
    with bench.asked(card, 0):
        words = functools.partial(
            transformers.AutoTokenizer.from_pretrained, str(folder), local_files_only=True, trust_remote_code=False
        )
        return Network(module.eval().to(bench.device), module.config, folder, words)


def _transformers(card: ModelCard) -> Any:
    try:
        cpu_torchvision.install()
        import transformers  # noqa: PLC0415  # slow to import, and not everybody has it
    except ImportError as error:
        raise MissingExtraError(
            f"model {card.name!r} runs on transformers, which is not installed: pip install 'natix-cascade[torch]'"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    return transformers
