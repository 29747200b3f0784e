"""One file per engine, behind one protocol."""

from natix_cascade.models.base import Answers, Model
from natix_cascade.models.engines import ENGINES, load_model

__all__ = ["ENGINES", "Answers", "Model", "load_model"]
