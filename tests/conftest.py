from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does; before NumPy is imported

for folder in ("models", "spec"):  # for tiny_onnx.py and strategies.py: test folders are not packages
    sys.path.insert(0, str(Path(__file__).parent / folder))
