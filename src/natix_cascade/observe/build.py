"""From options to observers; each is imported only where it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from natix_cascade.errors import MissingExtraError
from natix_cascade.installed import is_installed
from natix_cascade.observe.observation import Observation, Observer
from natix_cascade.observe.options import ObserveOptions, TraceOptions
from natix_cascade.run.events import Event

__all__ = ["check", "observers", "traces_of"]


def observers(options: ObserveOptions, state: Path, tell: Callable[[Event], None]) -> list[Observer]:
    """The observers that are wanted.

    Parameters
    ----------
    options : ObserveOptions
        What is observed.
    state : Path
        Folder in which an observer may keep what it must not forget.
    tell : callable
        Takes events that an observer makes itself, such as scores.

    Raises
    ------
    CascadeError
        One of them cannot be made: its package is missing, or a reference to a secret cannot be read.
    """
    made: list[Observer] = []
    if (traces := traces_of(options)) is not None:
        from natix_cascade.observe.tracing import Tracer  # noqa: PLC0415  # needs the extra traces

        tracer = Tracer(traces)
        made.append(tracer)
        if options.phoenix is not None:
            from natix_cascade.observe.phoenix.notes import PhoenixNotes  # noqa: PLC0415  # needs the extra phoenix

            made.append(PhoenixNotes(options.phoenix, lambda verdict: tracer(Observation(verdict))))
    if options.judge is not None:
        from natix_cascade.observe.judge.observer import JudgeObserver  # noqa: PLC0415  # only where it is wanted

        made.append(JudgeObserver(options.judge, state, tell))
    if options.weave is not None:
        from natix_cascade.observe.weave import WeaveLog  # noqa: PLC0415  # only where it is wanted

        made.append(WeaveLog(options.weave))
    return made


def traces_of(options: ObserveOptions) -> TraceOptions | None:
    """Where traces go: to the collector that is named, else to Phoenix, else nowhere."""
    phoenix = options.phoenix
    if options.traces is not None or phoenix is None:
        return options.traces
    headers = {} if phoenix.api_key is None else {"authorization": f"Bearer {phoenix.api_key}"}
    return TraceOptions(url=f"{phoenix.url.rstrip('/')}/v1/traces", headers=headers, project=phoenix.project)


def check(options: ObserveOptions) -> None:
    """Refuse what cannot work, before anything is started.

    Raises
    ------
    MissingExtraError
        A package is missing.
    CascadeError
        The judge has no name or no rubric, or Weave's project is none.
    """
    if traces_of(options) is not None and not is_installed("opentelemetry.exporter.otlp.proto.http"):
        raise MissingExtraError("traces need OpenTelemetry's exporter: pip install 'natix-cascade[traces]'")
    if options.judge is not None:
        from natix_cascade.observe.judge.asking import model_of  # noqa: PLC0415  # only where it is wanted
        from natix_cascade.observe.judge.rubric import load_rubric  # noqa: PLC0415  # the same

        model_of(options.judge)
        load_rubric(options.judge.rubric)
    if options.weave is not None:
        from natix_cascade.observe import weave  # noqa: PLC0415  # only where it is wanted

        weave.check(options.weave)
    if options.phoenix is not None and not is_installed("phoenix.client"):
        raise MissingExtraError("Phoenix needs its client: pip install 'natix-cascade[phoenix]'")
