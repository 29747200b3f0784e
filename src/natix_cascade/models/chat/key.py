"""The key of one server: taken at each request, so that it can be changed without a restart."""

from __future__ import annotations

import asyncio
from typing import Self

from natix_cascade.errors import ModelError, SecretAwayError, SecretError, TransientModelError
from natix_cascade.secrets import Secret, shared
from natix_cascade.spec.endpoints import Endpoint

__all__ = ["ServerKey"]


class ServerKey:
    """A key that is kept somewhere.

    Parameters
    ----------
    secret : Secret
        Where.
    who : str
        The card's name, for messages.

    Attributes
    ----------
    name : str
        Where it is kept, in an error's words: the variable's name, or the reference.
    """

    def __init__(self, secret: Secret, who: str) -> None:
        ref = secret.ref
        self.name = ref.place if ref.scheme == "env" else str(ref)
        self._secret = secret
        self._who = who

    @classmethod
    def of(cls, endpoint: Endpoint, who: str) -> Self | None:
        """The key of an endpoint, read for the first time; None where the endpoint names none.

        Raises
        ------
        ModelError
            It is not there, or is what no header can carry.
        TransientModelError
            Who keeps it does not answer.
        """
        ref = endpoint.key_ref()
        if ref is None:
            return None
        key = cls(shared().open(ref), who)
        key.present()
        return key

    def present(self) -> str:
        """The present key; nothing is waited for.

        Raises
        ------
        ModelError
            See `of`.
        """
        try:
            key = self._secret.reveal()
        except SecretAwayError as error:
            problem: ModelError = TransientModelError(f"model {self._who!r}: the key of its server: {error}")
        except SecretError as error:
            problem = ModelError(f"model {self._who!r}: the key of its server: {error}")
        else:
            if key.isascii() and key.isprintable() and " " not in key:
                return key
            problem = ModelError(f"model {self._who!r}: {self.name} holds no key: it has blanks or odd letters")
        raise problem

    async def other_than(self, used: str) -> str | None:
        """Another key than one that was not taken, if there is one by now: it is looked for at once."""
        await asyncio.to_thread(self._secret.invalidate)
        key = self.present()
        return key if key != used else None

    def __repr__(self) -> str:
        return f"<key in {self.name}>"
