"""How a client is set up, checked before anything is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import httpx

__all__ = ["KEY_VARIABLE", "Settings"]

KEY_VARIABLE = "NATIX_CASCADE_KEY"


@dataclass(frozen=True, slots=True)
class Settings:
    """What both clients are made with.

    Attributes
    ----------
    base_url : httpx.URL
        Of the service, without user and password.
    key : str or None
        Never shown.
    timeout_s : float
        Most time for a call that names no deadline of its own.
    attempts : int
        Most tries of one call.
    """

    base_url: httpx.URL
    key: str | None = field(repr=False)
    timeout_s: float
    attempts: int

    @classmethod
    def of(cls, base_url: str, key: str | None, timeout_s: float, attempts: int) -> Settings:
        """Check what was given; the key is taken from the environment where none is.

        Raises
        ------
        ValueError
            Something is out of range; the text does not repeat the key.
        """
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"base_url cannot be read ({error}); wanted is http://HOST:PORT or https://HOST") from None
        if url.userinfo:
            raise ValueError("base_url holds a user or password; give the key as key=... instead")
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError(f"base_url is {base_url!r}, wanted http://HOST:PORT or https://HOST")
        if not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s}, wanted more than 0 seconds")
        if attempts < 1:
            raise ValueError(f"attempts is {attempts}, wanted 1 or more")
        secret = os.environ.get(KEY_VARIABLE) if key is None else key
        if secret and not (secret.isascii() and secret.isprintable() and " " not in secret):
            raise ValueError("the key has characters that no key has (a space, a line's end?); copy it again")
        return cls(url, secret or None, timeout_s, attempts)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def describe(self, name: str) -> str:
        """The text of a client's `repr`: the key is only said to be there."""
        return f"{name}({str(self.base_url)!r}, key={'***' if self.key else None}, timeout_s={self.timeout_s:g})"
