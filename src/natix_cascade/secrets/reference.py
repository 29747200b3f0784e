"""References to secrets: ``env:NAME``, ``file:PATH``, ``vault:PATH#KEY``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, Self, cast

from natix_cascade.errors import SecretError

__all__ = ["SecretRef", "is_reference"]

Scheme = Literal["env", "file", "vault"]

_SCHEMES: Final = ("env", "file", "vault")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEGMENT: Final = re.compile(r"[\w.@:+=~-]+")
_HOW: Final = "write env:NAME, file:PATH or vault:PATH#KEY"


@dataclass(frozen=True, slots=True, repr=False)
class SecretRef:
    """Where a secret is kept.

    Attributes
    ----------
    scheme : {"env", "file", "vault"}
        The kind of place.
    place : str
        The variable's name, the file's path, or the path in a Vault with its mount in front.
    key : str
        Of a Vault only: which of the values at the path.

    Raises
    ------
    SecretError
        It is no reference. What was given is not repeated: it may be a secret.
    """

    scheme: Scheme
    place: str
    key: str = ""

    def __post_init__(self) -> None:
        problem = _problem(self.scheme, self.place, self.key)
        if problem:
            raise SecretError(f"{problem}; {_HOW} (what was given is not shown: it may be a secret)")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference.

        Parameters
        ----------
        text : str
            Such as ``env:VLM_KEY``, ``file:/run/secrets/vlm`` or ``vault:natix/huggingface#token``.

        Raises
        ------
        SecretError
            It is none.
        """
        scheme, _, rest = text.strip().partition(":")
        place, _, key = rest.partition("#") if scheme == "vault" else (rest, "", "")
        return cls(cast("Scheme", scheme), place, key)

    def __str__(self) -> str:
        """The reference as it is written."""
        return f"{self.scheme}:{self.place}" + (f"#{self.key}" if self.key else "")

    def __repr__(self) -> str:
        return f"SecretRef({str(self)!r})"


def is_reference(text: str) -> bool:
    """Whether a text begins as a reference does, be it right or wrong."""
    return text.strip().startswith(tuple(f"{scheme}:" for scheme in _SCHEMES))


def _problem(scheme: str, place: str, key: str) -> str:
    if scheme not in _SCHEMES:
        return "a secret is wanted by reference, not as a plain value"
    if scheme == "env":
        return "" if _VARIABLE.fullmatch(place) else "env: wants the name of a variable, such as env:VLM_KEY"
    if scheme == "file":
        right = place.startswith(("/", "~/")) and place.isprintable()
        return "" if right else "file: wants a whole path, such as file:/run/secrets/vlm"
    segments = place.split("/")
    wrong = [each for each in segments if not _SEGMENT.fullmatch(each) or each in {".", ".."}]
    if wrong or len(segments) < 2:  # noqa: PLR2004  # a mount and a path
        return "vault: wants the mount and a path below it, such as vault:natix/huggingface#token"
    if not key or not key.isprintable() or "#" in key:
        return "vault: wants the key behind a #, such as vault:natix/huggingface#token"
    return ""
