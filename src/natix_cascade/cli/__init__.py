"""The command line: one file per verb."""

from __future__ import annotations

import os

__all__ = ["main"]


def main() -> None:
    """Entry point of ``natix-cascade``."""
    # Nothing here multiplies large matrices: BLAS threads would only spin beside the models' own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from natix_cascade.cli.app import run  # keeps `import natix_cascade.cli` light

    run()
