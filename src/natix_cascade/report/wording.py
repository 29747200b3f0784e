"""How figures are worded in a report."""

from __future__ import annotations

import math

from natix_cascade.report.results import Evaluation, JudgeResult

__all__ = ["figures", "price", "when"]


def price(judge: JudgeResult) -> str:
    """What one picture costs in money."""
    if not judge.usd:
        return "no model is paid by the call"
    return f"{figures(1e6 * judge.usd)} USD for a million pictures"


def when(evaluation: Evaluation) -> str:
    """Date and time in UTC."""
    return evaluation.created.replace("T", " ").replace("+00:00", " UTC")


def figures(value: float) -> str:
    """Three significant figures, never in powers of ten."""
    if value <= 0:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"
