"""Every error that natix-cascade raises on purpose.

::

    CascadeError
    ├── SpecError            a card, cascade or policy file is wrong (file, line, key)
    ├── PictureError         a picture cannot be used; carries the HTTP status that says why
    │   ├── UnsupportedFormatError   415  not JPEG, PNG or WebP
    │   ├── CorruptPictureError      422  truncated, or the decoder gave up
    │   ├── PictureTooLargeError     413  too many bytes or too many pixels
    │   └── PictureShapeError        422  too narrow or too small
    ├── ModelError           a model cannot be loaded or did not answer
    │   ├── ChecksumError            weights are not the ones the card names
    │   ├── MissingExtraError        an optional dependency is not installed
    │   ├── TransientModelError      a lost connection, a server that is busy: worth another try
    │   ├── BreakerOpenError         it did not answer lately and is left alone for a while
    │   └── QueueFullError           too many pictures wait for it
    ├── ManifestError        a manifest or a results file cannot be read
    ├── RecordsError         records cannot be read, or do not hold what is asked of them
    ├── SecretError          a secret cannot be had; the text names its reference, never its value
    │   └── SecretAwayError          its keeper does not answer now: worth another try
    ├── StoreError           the service's store cannot be read or written
    ├── PlanError            no plan keeps what was asked for
    └── DeadlineError        time ran out before any model answered
"""

from __future__ import annotations

__all__ = [
    "BreakerOpenError",
    "CascadeError",
    "ChecksumError",
    "CorruptPictureError",
    "DeadlineError",
    "ManifestError",
    "MissingExtraError",
    "ModelError",
    "PictureError",
    "PictureShapeError",
    "PictureTooLargeError",
    "PlanError",
    "QueueFullError",
    "RecordsError",
    "SecretAwayError",
    "SecretError",
    "SpecError",
    "StoreError",
    "TransientModelError",
    "UnsupportedFormatError",
]


class CascadeError(Exception):
    """Base of every error raised on purpose; its text says what was given, what was wanted and what to do."""


class SpecError(CascadeError):
    """A card, cascade or policy is wrong; the text names file, line and key."""


class PictureError(CascadeError):
    """A picture cannot be used.

    Attributes
    ----------
    status : int
        The HTTP status that a service answers with.
    """

    status: int = 422


class UnsupportedFormatError(PictureError):
    """The bytes are not JPEG, PNG or WebP, whatever the name says."""

    status = 415


class CorruptPictureError(PictureError):
    """The bytes begin as a picture but cannot be decoded to the end."""


class PictureTooLargeError(PictureError):
    """More bytes or more pixels than the limits allow."""

    status = 413


class PictureShapeError(PictureError):
    """Below the smallest side, or too long for its width."""


class ModelError(CascadeError):
    """A model cannot be loaded, or failed while answering."""


class ChecksumError(ModelError):
    """The weights on disk are not the ones the card names."""


class MissingExtraError(ModelError):
    """An optional dependency is not installed; the text says which command installs it."""


class TransientModelError(ModelError):
    """A failure that may pass by itself: a lost connection, a server that is busy.

    Attributes
    ----------
    retry_after_s : float or None
        Seconds after which the server wants to be asked again, where it said so.
    """

    def __init__(self, *text: object, retry_after_s: float | None = None) -> None:
        super().__init__(*text)
        self.retry_after_s = retry_after_s


class BreakerOpenError(ModelError):
    """The model did not answer lately; its breaker is open and it is not asked."""


class QueueFullError(ModelError):
    """As many pictures wait for the model as may."""


class ManifestError(CascadeError):
    """A manifest or a results file cannot be read."""


class RecordsError(CascadeError):
    """Records cannot be read, or do not hold what is asked of them."""


class SecretError(CascadeError):
    """A secret cannot be had, or a reference to one is wrong; the text never holds a value."""


class SecretAwayError(SecretError):
    """Who keeps the secret does not answer now: no connection, sealed, or busy."""


class StoreError(CascadeError):
    """The service's store cannot be read or written."""


class PlanError(CascadeError):
    """No plan keeps what was asked for; the text says how near the best came."""


class DeadlineError(CascadeError):
    """The deadline passed before any model had answered."""
