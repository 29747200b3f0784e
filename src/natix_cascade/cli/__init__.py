"""The command line: one file per verb."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of ``natix-cascade``."""
    from natix_cascade.cli.app import run  # keeps `import natix_cascade.cli` light

    run()
