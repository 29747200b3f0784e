"""From records to a policy with a guarantee.

::

    from natix_cascade.plan import plan

    made = plan("records.parquet", reference="best", max_regret=0.001)
    made = plan({"label": truth, "small": p1, "large": p2}, costs={"small": 1, "large": 20}, risk=0.005, delta=0.1)
    print(made.expected.cost, made.expected.reference_cost, made.policy)
"""

from __future__ import annotations

from natix_cascade.plan.imports import from_table
from natix_cascade.plan.planner import plan
from natix_cascade.plan.records import Records, read_records, split_records, write_records
from natix_cascade.plan.result import Figures, Plan, Point, Step
from natix_cascade.plan.wish import Wish

__all__ = [
    "Figures",
    "Plan",
    "Point",
    "Records",
    "Step",
    "Wish",
    "from_table",
    "plan",
    "read_records",
    "split_records",
    "write_records",
]
