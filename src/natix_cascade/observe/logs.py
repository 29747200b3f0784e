"""Lines that a service writes."""

from __future__ import annotations

import logging

from natix_cascade.observe.options import LogOptions

__all__ = ["configure"]


def configure(options: LogOptions, who: str) -> None:
    """Set up the lines of this process.

    Parameters
    ----------
    options : LogOptions
        How.
    who : str
        Names the process in each line.
    """
    logging.basicConfig(level=options.level.upper(), format=f"%(asctime)s {who} %(levelname)s %(message)s", force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
