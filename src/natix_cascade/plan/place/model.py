"""The placement as an integer program, solved by OR-tools' CP-SAT (https://developers.google.com/optimization/cp)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from natix_cascade.errors import MissingExtraError, PlanError
from natix_cascade.plan.place.allowances import GIB
from natix_cascade.plan.place.machine import Machine
from natix_cascade.plan.place.memory import MB
from natix_cascade.plan.place.options import Option
from natix_cascade.plan.place.units import Unit
from natix_cascade.plan.place.wish import Wish

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Solution", "solve"]

_ROUNDING = 1e-6

_WORKERS = 1
_SHARES = (0.6, 0.2, 0.2)
"""Parts of the time limit for the value, the second aim and the order."""

_STEADY = 0.75
"""Part of each limit that is counted in the solver's own, repeatable time; the clock should not end it first."""

Rows = Sequence[Sequence[Option]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What the solver found.

    Attributes
    ----------
    chosen : tuple of (Option or None)
        For each unit; None: left out.
    peak : int
        Value of the first aim's solution, required models not counted apart.
    status : {"optimal", "feasible"}
        Whether nothing can be worth more.
    best, bound : int
        The most that was found to be worth (required models first), and the most that anything could be.
    seconds : float
        Spent.
    """

    chosen: tuple[Option | None, ...]
    peak: int
    status: str
    best: int
    bound: int
    seconds: float


def solve(units: Sequence[Unit], options: Rows, machine: Machine, wish: Wish) -> Solution:
    """Choose an option, or none, for every unit.

    First the most value, where one more required model outweighs everything else; then the second aim (pictures/s, or
    fewest bytes); then the lowest GPU numbers, so that equal machines and wishes get equal answers.

    Raises
    ------
    MissingExtraError
        OR-tools is not installed.
    PlanError
        Not even an empty placement fits, or time ran out before any was found.
    """
    program = _Program(_library(), units, options, machine)
    began = time.perf_counter()
    limits = [share * wish.seconds for share in _SHARES]
    value = program.value()
    first = program.run(value, "most", limits[0], wish.seed)
    best = first.objective
    peak = sum(option.value for option in program.chosen() if option is not None)
    floor = best if wish.objective == "accuracy" else int(best * wish.keep)
    program.model.add(value >= floor)
    second = program.worktime() if wish.objective == "throughput" else program.bytes()
    found = program.run(second, "least", limits[1], wish.seed)
    program.model.add(second <= found.objective)
    program.run(program.order(), "least", limits[2], wish.seed)
    return Solution(
        chosen=program.chosen(),
        peak=peak,
        status="optimal" if first.proven and (wish.objective == "accuracy" or found.proven) else "feasible",
        best=best,
        bound=first.bound,
        seconds=time.perf_counter() - began,
    )


def _library() -> ModuleType:
    try:
        from ortools.sat.python import cp_model  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError(
            "placing models needs OR-tools, which is not installed: pip install 'natix-cascade[place]'"
        ) from error
    return cp_model  # type: ignore[no-any-return,unused-ignore]


@dataclass(frozen=True, slots=True)
class _Run:
    objective: int
    bound: int
    proven: bool


class _Program:
    """Variables and constraints; bytes are counted in MB, needs rounded up and memory down."""

    def __init__(self, library: ModuleType, units: Sequence[Unit], options: Rows, machine: Machine) -> None:
        self._library, self._options, self._machine = library, options, machine
        self.model: Any = library.CpModel()
        self._takes = [
            [self.model.new_bool_var(f"{unit.name}.{number}") for number in range(len(row))]
            for unit, row in zip(units, options, strict=True)
        ]
        self._bonus = [unit.required for unit in units]
        most = sum(max((option.value for option in row), default=0) for row in options)
        self._step = most + 1
        self._hint: list[tuple[Any, int]] = []
        for row in self._takes:
            self.model.add_at_most_one(row)
        for index in range(len(machine.gpus)):
            self._fit_gpu(index, units)
        self._fit_host()

    def _pairs(self) -> list[tuple[int, Any, Option]]:
        return [
            (unit, take, option)
            for unit, (takes, row) in enumerate(zip(self._takes, self._options, strict=True))
            for take, option in zip(takes, row, strict=True)
        ]

    def _fit_gpu(self, index: int, units: Sequence[Unit]) -> None:
        """Residents, what sleepers still hold, room to wake one of them, and the process of the in-process models."""
        memory = self._machine.gpus[index].memory
        allowances = self._machine.allowances
        usable = int(memory * (1 - allowances.fragmentation)) // MB
        room = self.model.new_int_var(0, max(usable, 0), f"room.{index}")
        process = self.model.new_bool_var(f"process.{index}")
        terms = [room, process * -(-round(allowances.context_gib * GIB) // MB)]
        for unit, take, option in self._pairs():
            if index not in option.gpus:
                continue
            if option.asleep:
                held = _up(option.parts.held)
                terms.append(take * held)
                self.model.add(room >= take * (_up(option.parts.total) - held))
            else:
                terms.append(take * _up(option.parts.total))
            if not units[unit].served:
                self.model.add_implication(take, process)
        self.model.add(sum(terms) <= usable)

    def _fit_host(self) -> None:
        usable = int(self._machine.host * (1 - self._machine.allowances.host_kept)) // MB
        self.model.add(sum(take * _up(option.host) for _, take, option in self._pairs()) <= usable)

    def value(self) -> Any:
        """What is placed is worth, required models first."""
        return (
            sum(take * (option.value + self._step * self._bonus[unit]) for unit, take, option in self._pairs())
            + self._nothing()
        )

    def bytes(self) -> Any:
        """MB on all GPUs."""
        return self._nothing() + sum(
            take * _up(option.parts.held if option.asleep else option.parts.total) * max(len(option.gpus), 1)
            for _, take, option in self._pairs()
        )

    def worktime(self) -> Any:
        """Nanoseconds of the busiest GPU, or of the CPU, for a picture that enters the cascade."""
        pairs = self._pairs()
        most = sum(max((option.work for option in row), default=0) for row in self._options)
        busiest = self.model.new_int_var(0, most, "busiest")
        for index in range(len(self._machine.gpus)):
            self.model.add(sum(take * o.work for _, take, o in pairs if index in o.gpus) + self._nothing() <= busiest)
        self.model.add(sum(take * o.work for _, take, o in pairs if not o.gpus) + self._nothing() <= busiest)
        return busiest

    def order(self) -> Any:
        """Low numbers of options first, earlier units before later ones."""
        count = len(self._takes)
        return self._nothing() + sum(
            take * (number + 1) * (count - unit)
            for unit, takes in enumerate(self._takes)
            for number, take in enumerate(takes)
        )

    def run(self, aim: Any, direction: str, seconds: float, seed: int) -> _Run:
        """Solve for one aim, from the last solution on."""
        if direction == "most":
            self.model.maximize(aim)
        else:
            self.model.minimize(aim)
        self.model.clear_hints()
        for variable, value in self._hint:
            self.model.add_hint(variable, value)
        solver = self._library.CpSolver()
        parameters = solver.parameters
        parameters.num_workers = _WORKERS
        parameters.random_seed = seed
        parameters.max_deterministic_time = _STEADY * seconds
        parameters.max_time_in_seconds = seconds
        status = solver.solve(self.model)
        if status not in {self._library.OPTIMAL, self._library.FEASIBLE}:
            raise PlanError(
                f"the solver found no placement in {seconds:.1f} s ({solver.status_name(status)}); allow more seconds"
            )
        self._hint = [(take, int(solver.value(take))) for row in self._takes for take in row]
        best = round(solver.objective_value)
        bound = math.floor(solver.best_objective_bound + _ROUNDING)  # the objective is an integer, told as a float
        return _Run(best, max(best, bound), status == self._library.OPTIMAL)

    def chosen(self) -> tuple[Option | None, ...]:
        """What the last run found."""
        values = iter(value for _, value in self._hint)
        return tuple(
            next((option for option, taken in [(o, next(values)) for o in row] if taken), None) for row in self._options
        )

    def _nothing(self) -> Any:
        """An expression that is 0, so that sums of nothing are expressions too."""
        return self._library.LinearExpr.constant(0) if hasattr(self._library.LinearExpr, "constant") else 0


def _up(count: int) -> int:
    return -(-count // MB)
