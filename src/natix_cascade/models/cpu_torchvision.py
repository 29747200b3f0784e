"""Lets torchvision be imported beside a torch that is built for CPUs only.

PyPI's torchvision is built for CUDA: beside CPU torch its compiled part does not load, and the import ends with
``operator torchvision::nms does not exist``, since two operators get a second implementation although nobody declared
them. Declared beforehand, the part written in Python works, which is all that picture processors need.

This module needs nothing but the standard library, so that it can be put into other environments
(`natix_cascade.engines.vllm_cpu`), where a line in a ``.pth`` file calls `install`.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

__all__ = ["install"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")  # those that torchvision 0.28 implements again without asking whether they exist
_libraries: list[object] = []  # the declarations last as long as these


class _BeforeTorchvision(MetaPathFinder):
    """Declares the operators at the first import of torchvision, then steps aside."""

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Leave the search to the finders behind this one."""
        del path, target
        if name == "torchvision":
            sys.meta_path.remove(self)
            _declare()
        return None


def install() -> bool:
    """Have the operators declared when torchvision is first imported; torch is not imported before that.

    Returns
    -------
    bool
        Whether torchvision is there (installed and not blocked).
    """
    if "torchvision" in sys.modules:
        return sys.modules["torchvision"] is not None
    if PathFinder.find_spec("torchvision") is None:
        return False
    if not any(isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())
    return True


def _declare() -> None:
    try:
        matched = version("torchvision").partition("+")[2]
    except PackageNotFoundError:
        return
    import torch  # noqa: PLC0415  # only where torchvision is wanted

    if torch.version.cuda is not None or matched:  # built for each other: the compiled part loads
        return
    for operator in _OPERATORS:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(operator + _SCHEMA)
        _libraries.append(library)
