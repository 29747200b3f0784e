"""A real cascade with one policy over a Phoenix data set, as a Phoenix experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from natix_cascade.errors import CascadeError
from natix_cascade.observe.phoenix.client import Dataset, Phoenix
from natix_cascade.observe.phoenix.trial import Outcome, Trial, trial
from natix_cascade.observe.words import word
from natix_cascade.run.cascade import Cascade

__all__ = ["find_picture", "run_trial"]


def find_picture(given: Mapping[str, Any], folders: Sequence[Path]) -> Path | None:
    """The file of an example: where its input says, else in one of the folders by its name or its digest.

    Parameters
    ----------
    given : mapping
        The example's input: ``picture``, ``name``, ``sha256``.
    folders : sequence of Path
        Folders of pictures; a service's state folder is one.
    """
    own, name, digest = (str(given.get(key) or "") for key in ("picture", "name", "sha256"))
    places = [Path(own)] if own else []
    for folder in folders:
        places += [folder / part for part in (name, Path(own).name) if part]
        if digest:
            kept = Path(digest[:2]) / f"{digest}.jpg"
            places += [folder / kept, folder / "pictures" / kept]
    return next((place for place in places if place.is_file()), None)


def run_trial(
    phoenix: Phoenix,
    dataset: Dataset,
    cascade: Cascade,
    *,
    name: str,
    folders: Sequence[Path] = (),
    on_progress: Callable[[int], None] = lambda _: None,
) -> Trial:
    """Judge every example, one at a time, and file each outcome with its evaluations.

    Parameters
    ----------
    phoenix : Phoenix
        The server.
    dataset : Dataset
        What to judge.
    cascade : Cascade
        With its policy; its models should be loaded, or the first picture waits for them.
    name : str
        Of the experiment.
    folders : sequence of Path
        Where pictures lie that are not where their examples say.
    on_progress : callable
        Told how many are done.

    Returns
    -------
    Trial

    Raises
    ------
    PhoenixError
        Phoenix cannot be reached, or refuses; what was filed so far stays there.
    """
    spec = cascade.spec
    experiment = phoenix.make_experiment(dataset, name, {"cascade": spec.name, "policy": spec.policy})
    outcomes = []
    for done, each in enumerate(dataset.examples, 1):
        began = datetime.now(UTC)
        outcome = _judge(cascade, each, folders)
        _file(phoenix, experiment, str(each["id"]), outcome, (began, datetime.now(UTC)))
        outcomes.append(outcome)
        on_progress(done)
    return trial(spec.policy, spec.name, experiment, outcomes)


def _judge(cascade: Cascade, example: Mapping[str, Any], folders: Sequence[Path]) -> Outcome:
    given, truth = example["input"], _truth(cascade.spec.question.id, example["output"])
    picture = find_picture(given, folders)
    if picture is None:
        return Outcome(verdict=None, truth=truth, error=f"no picture of {given.get('name') or given.get('sha256')}")
    try:
        return Outcome(verdict=cascade.detect(picture, name=given.get("name")), truth=truth)
    except CascadeError as error:
        return Outcome(verdict=None, truth=truth, error=str(error))


def _truth(question: str, output: Mapping[str, Any]) -> bool | None:
    """What an example's output says; None: nothing, or a word that is no answer to this question."""
    return {word(question, True): True, word(question, False): False}.get(output.get("label", ""))


def _file(phoenix: Phoenix, experiment: str, example: str, outcome: Outcome, span: tuple[datetime, datetime]) -> None:
    verdict = outcome.verdict
    if verdict is None:
        phoenix.add_run(experiment, example, {}, span, outcome.error or "no verdict")
        return
    said = word(verdict.question, verdict.detected)
    output = {"label": said, **verdict.as_dict()}
    run = phoenix.add_run(experiment, example, output, span, None)
    if outcome.right is not None:
        phoenix.add_evaluation(run, "correct", float(outcome.right), "right" if outcome.right else "wrong")
    for measure in ("cost_usd", "gmacs", "latency_ms"):
        phoenix.add_evaluation(run, measure, float(getattr(verdict, measure)))
    phoenix.add_evaluation(run, "exit_level", None, verdict.exit_level)
