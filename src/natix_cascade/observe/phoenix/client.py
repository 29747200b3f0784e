"""Phoenix's REST interface, by its own light client; the one place that imports it. Errors are ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from natix_cascade.errors import CascadeError, MissingExtraError

__all__ = ["Dataset", "Note", "Phoenix", "PhoenixError"]

_TIMEOUT_S = 10.0
_UPLOAD_S = 120
_REFUSED, _NOT_FOUND, _CONFLICT, _BUSY, _SERVER = 400, 404, 409, 429, 500


class PhoenixError(CascadeError):
    """Phoenix did not do what it was asked.

    Attributes
    ----------
    status : int or None
        HTTP status; None: it could not be reached.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status

    @property
    def locked(self) -> bool:
        """Whether the key was not taken."""
        return self.status in {401, 403}

    @property
    def passing(self) -> bool:
        """Whether another try may help."""
        return self.status is None or self.status == _BUSY or self.status >= _SERVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An annotation of a span; a later one of the same span, name and `key` replaces it.

    Attributes
    ----------
    span_id : str
        16 hex digits.
    name : str
        Such as ``human_label``.
    by : {"HUMAN", "LLM", "CODE"}
        Who says so.
    label : str
        In a word.
    score : float or None
        In a number.
    explanation : str or None
        In a sentence.
    facts : dict
        What else is known.
    key : str
        Tells several of one name apart.
    """

    span_id: str
    name: str
    by: Literal["HUMAN", "LLM", "CODE"]
    label: str
    score: float | None = None
    explanation: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set as Phoenix holds it; its examples have Phoenix's ``id``, ``input``, ``output`` and ``metadata``."""

    id: str
    version: str
    name: str
    examples: tuple[dict[str, Any], ...]


class Phoenix:
    """A Phoenix server; a context manager.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:6006``.
    api_key : str or None
        Its key, where it wants one.

    Raises
    ------
    MissingExtraError
        Its client is not installed.
    PhoenixError
        From every method: it could not be reached, or refused.
    """

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        try:
            import httpx  # noqa: PLC0415  # an extra
            from phoenix.client import Client  # noqa: PLC0415  # the same
        except ImportError as error:
            raise MissingExtraError(
                f"Phoenix needs more packages ({error.name} is missing): pip install 'natix-cascade[phoenix]'"
            ) from None
        try:
            self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_S)
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            raise PhoenixError(f"{url!r} is no address of Phoenix: {error}") from None
        self.url = url.rstrip("/")
        self._client = Client(http_client=self._http)
        self.use_key(api_key)

    def use_key(self, api_key: str | None) -> None:
        """Take this key from now on."""
        if api_key:
            self._http.headers["authorization"] = f"Bearer {api_key}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make_project(self, name: str) -> None:
        """Make a project, where it is not there yet."""
        try:
            with self._asked(f"make the project {name!r}"):
                self._client.projects.create(name=name)
        except PhoenixError as error:
            if error.status != _CONFLICT:
                raise

    def annotate(self, note: Note, *, now: bool) -> bool:
        """Annotate a span.

        Parameters
        ----------
        note : Note
            What is said of which one.
        now : bool
            Tell whether it is there; else Phoenix keeps the note for some minutes, until the span arrives.

        Returns
        -------
        bool
            False: there is no such span, and nothing was noted.
        """
        try:
            with self._asked(f"take a note {note.name!r}"):
                self._client.spans.add_span_annotation(
                    span_id=note.span_id,
                    annotation_name=note.name,
                    annotator_kind=note.by,
                    label=note.label,
                    score=note.score,
                    explanation=note.explanation,
                    metadata=note.facts or None,
                    identifier=note.key or None,
                    sync=now,
                )
        except PhoenixError as error:
            if now and error.status == _NOT_FOUND:
                return False
            raise
        return True

    def put_dataset(self, name: str, examples: Sequence[Mapping[str, Any]], about: str) -> Dataset:
        """Make a data set, or a new version of it that holds these examples and no others.

        Parameters
        ----------
        name : str
            Its name.
        examples : sequence of mapping
            ``id``, ``input``, ``output``, ``metadata`` and, if wanted, ``span_id``.
        about : str
            Its description.
        """
        with self._asked(f"take the data set {name!r}"):
            made = self._client.datasets.create_dataset(
                name=name, examples=examples, dataset_description=about, timeout=_UPLOAD_S
            )
            return _dataset(made)

    def dataset(self, name: str) -> Dataset:
        """The latest version of a data set."""
        with self._asked(f"give the data set {name!r}"):
            return _dataset(self._client.datasets.get_dataset(dataset=name, timeout=_UPLOAD_S))

    def make_experiment(self, dataset: Dataset, name: str, facts: Mapping[str, Any]) -> str:
        """Begin an experiment over a data set; returns its id."""
        with self._asked(f"begin the experiment {name!r}"):
            made = self._client.experiments.create(
                dataset_id=dataset.id,
                dataset_version_id=dataset.version,
                experiment_name=name,
                experiment_metadata=facts,
            )
            return str(made["id"])

    def add_run(
        self,
        experiment: str,
        example: str,
        output: Mapping[str, Any],
        span: tuple[datetime, datetime],
        error: str | None,
    ) -> str:
        """One example's outcome, which began and ended when `span` says; returns the run's id."""
        with self._asked("take a run"):
            made = self._client.experiments.log_run(
                experiment_id=experiment,
                dataset_example_id=example,
                output=output,
                start_time=span[0],
                end_time=span[1],
                error=error,
            )
            return str(made["id"])

    def add_evaluation(self, run: str, name: str, score: float | None, label: str | None = None) -> None:
        """What a run is worth, by one measure."""
        with self._asked(f"take the evaluation {name!r}"):
            self._client.experiments.log_evaluation(experiment_run_id=run, name=name, score=score, label=label)

    def experiment_url(self, dataset: Dataset, *experiments: str) -> str:
        """The page that shows experiments side by side."""
        chosen = "&".join(f"experimentId={each}" for each in experiments)
        return f"{self.url}/datasets/{dataset.id}/compare?{chosen}"

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        import httpx  # noqa: PLC0415  # an extra

        try:
            yield
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise PhoenixError(
                f"Phoenix at {self.url} did not {what}: {status} {_told(error.response)}", status
            ) from None
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise PhoenixError(f"Phoenix at {self.url} cannot be reached to {what}: {why}") from None
        except Exception as error:  # noqa: BLE001  # the client raises plain ones too
            status = getattr(getattr(error.__cause__, "response", None), "status_code", _REFUSED)
            raise PhoenixError(f"Phoenix at {self.url} did not {what}: {error}", status) from None


def _told(response: Any) -> str:
    """The reason in an answer, in one line."""
    try:
        said = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        said = response.text
    return " ".join(str(said).split())[:300]


def _dataset(found: Any) -> Dataset:
    examples = tuple({**each, "id": each.get("node_id") or each["id"]} for each in found.examples)  # Phoenix's own id
    return Dataset(id=found.id, version=found.version_id, name=found.name, examples=examples)
