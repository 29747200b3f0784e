"""One file per engine, behind one protocol."""

from natix_cascade.models.base import Answers, AsyncModel, LoadOptions, Model
from natix_cascade.models.engines import ENGINES, load_model

__all__ = ["ENGINES", "Answers", "AsyncModel", "LoadOptions", "Model", "load_model"]
