"""Machines: GPUs, which of them may hold one model together, and the host's RAM."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Len

from natix_cascade.errors import PlanError
from natix_cascade.plan.place.allowances import GIB, Allowances
from natix_cascade.spec.base import Spec
from natix_cascade.spec.files import validate

__all__ = ["Gpu", "Machine", "read_machine"]

_SEEN_GIB = {"H100-80GB": 79.1, "H200-141GB": 139.7, "L40S-48GB": 44.5}
"""GiB that CUDA programs see (totals in vLLM's logs); of all other GPUs a GB is taken as 1e9 bytes, which is less."""

_GPUS = re.compile(r"(?:(\d+)x)?([A-Za-z][A-Za-z0-9]*)-(\d+(?:\.\d+)?)GB", re.ASCII)
_MOST = 64
_HOST_PER_GPU = 2.0
_LEAST_HOST = 16 * 10**9


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes
    ----------
    name : str
        Such as ``H100-80GB``.
    memory : int
        Bytes that programs can have.
    link : str
        GPUs of the same name and link may hold one model together (tensor parallel).
    """

    name: str
    memory: int
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What models are placed on.

    Attributes
    ----------
    name : str
        For people.
    gpus : tuple of Gpu
        In the order of CUDA's numbers; may be empty.
    host : int
        Bytes of RAM.
    host_assumed : bool
        Nobody said how much RAM there is; twice the GPUs' memory was taken.
    allowances : Allowances
        Figures of the memory account.
    """

    name: str
    gpus: tuple[Gpu, ...]
    host: int
    host_assumed: bool = False
    allowances: Allowances = field(default_factory=Allowances)

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """GPUs that may hold one model together, by index."""
        found: dict[Gpu, list[int]] = {}
        for index, gpu in enumerate(self.gpus):
            found.setdefault(gpu, []).append(index)
        return tuple(tuple(group) for group in found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _GpuFile(Spec):
    name: Annotated[str, Len(1)]
    count: Annotated[int, Ge(1)] = 1
    memory_gib: Annotated[float, Gt(0)] | None = None
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _MachineFile(Spec):
    name: str = ""
    host_ram_gib: Annotated[float, Gt(0)] | None = None
    gpus: tuple[_GpuFile, ...] = ()
    allowances: Allowances = field(default_factory=Allowances)


def read_machine(text: str | Path, *, host_gib: float | None = None) -> Machine:
    """Read a machine.

    Parameters
    ----------
    text : str or Path
        ``2xH100-80GB``, several kinds joined by ``+``, ``cpu``, or a TOML file::

            host_ram_gib = 512
            [[gpus]]
            name = "H100-80GB"   # count, memory_gib and link may be given
            count = 2
    host_gib : float or None
        GiB of the host's RAM; it comes before the file's.

    Raises
    ------
    PlanError
        The text is no machine.
    SpecError
        The file holds something else.
    """
    if host_gib is not None and not host_gib > 0:
        raise PlanError(f"{host_gib:g} GiB of host RAM hold nothing; give a number above 0")
    path = Path(text)
    machine = _from_file(path) if path.suffix == ".toml" else _from_text(str(text))
    if len(machine.gpus) > _MOST:
        raise PlanError(f"{machine.name} has {len(machine.gpus)} GPUs; place at most {_MOST} (one host) at a time")
    return machine if host_gib is None else replace(machine, host=round(host_gib * GIB), host_assumed=False)


def _from_text(text: str) -> Machine:
    gpus: list[Gpu] = []
    for part in text.split("+") if text.strip().lower() not in {"cpu", ""} else ():
        match = _GPUS.fullmatch(part.strip())
        if match is None or not 0 < int(match[1] or 1) <= _MOST or not float(match[3]) > 0:
            raise PlanError(
                f"{part.strip()!r} is no GPU: write COUNTxNAME-MEMORYGB such as 2xH100-80GB, several kinds joined by "
                "'+', 'cpu', or name a TOML file"
            )
        name = f"{match[2]}-{match[3]}GB"
        gpus += [Gpu(name, _memory(name, float(match[3])))] * int(match[1] or 1)
    if not text.strip():
        raise PlanError("no machine was named; write one such as 2xH100-80GB or cpu, or name a TOML file")
    return _machine(text.strip(), gpus, None)


def _from_file(path: Path) -> Machine:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PlanError(f"the machine's file {path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is not TOML: {error}") from None
    given = validate(_MachineFile, data, source=str(path))
    gpus: list[Gpu] = []
    for item in given.gpus:
        match = _GPUS.fullmatch(item.name)
        if item.memory_gib is None and match is None:
            raise PlanError(f"{path}: {item.name!r} does not end in its memory; write memory_gib beside it")
        memory = _memory(item.name, float(match[3])) if match else 0
        seen = memory if item.memory_gib is None else round(item.memory_gib * GIB)
        gpus += [Gpu(item.name, seen, item.link)] * item.count
    made = _machine(given.name or path.stem, gpus, given.host_ram_gib)
    return replace(made, allowances=given.allowances)


def _memory(name: str, sold_gb: float) -> int:
    seen = _SEEN_GIB.get(name)
    return round(seen * GIB) if seen is not None else round(sold_gb * 1e9)


def _machine(name: str, gpus: list[Gpu], host_gib: float | None) -> Machine:
    assumed = max(round(_HOST_PER_GPU * sum(gpu.memory for gpu in gpus)), _LEAST_HOST)
    host = assumed if host_gib is None else round(host_gib * GIB)
    return Machine(name=name, gpus=tuple(gpus), host=host, host_assumed=host_gib is None)
