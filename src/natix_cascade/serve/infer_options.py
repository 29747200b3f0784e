"""What may be asked for beside a picture, checked at the border."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from natix_cascade.serve.problems import ProblemError, first_wrong

__all__ = ["BatchOptions", "InferOptions", "Place", "read_options"]

T = TypeVar("T", bound=BaseModel)

_PLACE = 'latitude -90 to 90 and longitude -180 to 180 in degrees, as "48.137,11.575"'


class Place(BaseModel):
    """Where a picture was taken."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    lat: float = Field(ge=-90, le=90, description="Degrees north")
    lon: float = Field(ge=-180, le=180, description="Degrees east")


def _place(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = value.split(",")
    if len(parts) != 2:  # noqa: PLR2004  # latitude and longitude
        raise ValueError(f"{value[:60]!r} is no place; write {_PLACE}")
    return {"lat": parts[0].strip(), "lon": parts[1].strip()}


class BatchOptions(BaseModel):
    """Options that hold for one picture or for all of a batch."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    deadline_ms: float | None = Field(None, ge=1, le=60_000, description="Answer within this time")
    max_level: str | None = Field(None, max_length=100, description="Name of the last level that may be asked")
    keep: bool = Field(False, description="Keep the picture, re-encoded, for the learning loop")


class InferOptions(BatchOptions):
    """Options of one picture."""

    explain: bool = Field(False, description="Add the explanation")
    place: Annotated[Place | None, BeforeValidator(_place)] = Field(None, description=_PLACE)
    label: bool | Annotated[str, Field(max_length=100)] | None = Field(None, description="The truth, if you know it")
    name: str | None = Field(None, max_length=200, description="Your name for the picture")
    augment: Literal["L0", "L1", "L2", "L3"] | None = Field(None, description="Judge it as Subnet 72 would send it")
    seed: int = Field(0, ge=0, le=2**53, description="Of the augmentation")
    stream: bool = Field(False, description="NDJSON events while it happens")


def read_options(kind: type[T], given: dict[str, Any]) -> T:
    """Validate options.

    Raises
    ------
    ProblemError
        422: an option is unknown or out of range.
    """
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        unknown = error.errors()[0]["type"] == "extra_forbidden"
        hint = f"; known are {', '.join(kind.model_fields)}" if unknown else ""
        raise ProblemError("invalid", first_wrong(error, "options") + hint) from None
