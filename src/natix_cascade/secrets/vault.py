"""The requests that are made of a Vault. Only here is hvac imported.

hvac's and requests' exceptions carry requests with their headers: none of them leaves this file, neither as a cause
nor as a context.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from natix_cascade.errors import MissingExtraError, SecretAwayError, SecretError
from natix_cascade.secrets.settings import VaultSettings

__all__ = ["Lease", "RefusedError", "VaultConnection"]

_SAID: Final = 200  # characters of a server's own words in an error
_ERRNO: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)")
_SEALED: Final = re.compile("sealed", re.IGNORECASE)
_BUSY: Final = {"RateLimitExceeded", "InternalServerError", "BadGateway", "VaultDown"}
_STATUS: Final = {"InvalidRequest": 400, "Unauthorized": 401, "Forbidden": 403, "InvalidPath": 404}


class RefusedError(SecretError):
    """The Vault says no.

    Attributes
    ----------
    status : int
        Of HTTP; 0 for those that nobody wants to tell apart.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Lease:
    """What is known of a token.

    Attributes
    ----------
    ttl_s : int
        Seconds that it has left; 0: it never ends.
    renewable : bool
        Whether it can be made to last longer.
    policies : tuple of str
        What it may do.
    """

    ttl_s: int = 0
    renewable: bool = False
    policies: tuple[str, ...] = ()


class VaultConnection:
    """One Vault, asked by one thread at a time.

    Parameters
    ----------
    settings : VaultSettings
        Where it is.

    Raises
    ------
    MissingExtraError
        hvac is not installed.
    """

    def __init__(self, settings: VaultSettings) -> None:
        try:
            import hvac  # noqa: PLC0415  # an optional extra
        except ImportError:
            raise MissingExtraError(
                "secrets from a Vault need one more package: pip install 'natix-cascade[vault]'"
            ) from None
        self.address = settings.address.rstrip("/")
        self._timeout_s = settings.timeout_s
        self._faults = (hvac.exceptions.VaultError, OSError, ValueError)  # those of requests are OSErrors
        self._hidden: tuple[str, ...] = ()
        self._client: Any = hvac.Client(
            url=self.address,
            token="",  # not the one that hvac would find by itself
            verify=settings.authorities or True,
            timeout=settings.timeout_s,
            namespace=settings.namespace,
            allow_redirects=False,  # the token goes to nobody else
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.adapter.close()

    def use(self, token: str) -> None:
        """Send this token from now on."""
        self._client.token = token

    def by_approle(self, role_id: str, secret_id: str, mount: str) -> Lease:
        """Log in with both halves of an AppRole."""
        login = self._client.auth.approle.login
        return self._logged_in(lambda: login(role_id, secret_id, mount_point=mount), (role_id, secret_id))

    def by_kubernetes(self, role: str, service_token: str, mount: str) -> Lease:
        """Log in with a service account's token."""
        login = self._client.auth.kubernetes.login
        return self._logged_in(lambda: login(role, service_token, mount_point=mount), (service_token,))

    def look_up(self) -> dict[str, Any]:
        """What the Vault knows of the token: policies, ttl, renewable, and more."""
        found = self._ask(self._client.auth.token.lookup_self, "data")
        return {key: value for key, value in found.items() if key not in {"id", "accessor"}}

    def renew(self) -> Lease:
        """Make the token last longer."""
        return _lease(self._ask(self._client.auth.token.renew_self, "auth"))

    def revoke(self) -> None:
        """End the token."""
        self._ask(self._client.auth.token.revoke_self, None)
        self.use("")

    def mount_of(self, path: str) -> dict[str, Any]:
        """Which mount holds a path, as the Vault's own command line asks it: path, type, options."""
        get = self._client.adapter.get
        return self._ask(lambda: get(f"/v1/sys/internal/ui/mounts/{path}"), "data")

    def version2(self, mount: str, path: str) -> dict[str, Any]:
        """The newest version below a KV version 2 mount: data (None: deleted) and metadata."""
        read = self._client.secrets.kv.v2.read_secret_version
        return self._ask(lambda: read(path, mount_point=mount, raise_on_deleted_version=False), "data")

    def _logged_in(self, login: Callable[[], Any], hidden: tuple[str, ...]) -> Lease:
        """Log in; then the token before is revoked, and where it fails that one is in use as before."""
        self._hidden = hidden
        before = self._client.token
        self.use("")
        try:
            lease = _lease(self._ask(login, "auth"))
        except SecretError:
            self.use(before)
            raise
        if before:
            token = self._client.token
            self.use(before)
            with contextlib.suppress(SecretError):  # it may have ended
                self.revoke()
            self.use(token)
        return lease

    def _ask(self, call: Callable[[], Any], part: str | None) -> dict[str, Any]:
        """Make a request; returns a part of the answer (None: there need be no answer)."""
        problem: SecretError
        try:
            answer = call()
        except self._faults as error:
            problem = self._told(error)
        else:
            if part is None:
                return {}
            found = answer.get(part) if isinstance(answer, dict) else None
            if isinstance(found, dict):
                return found
            status = getattr(answer, "status_code", 200)
            problem = RefusedError(f"{self.address} answered ({status}) as no Vault does; look at VAULT_ADDR", 0)
        raise problem  # outside of the handler: the library's exception is not its context

    def _told(self, error: Exception) -> SecretError:
        """One sentence of our own; of the server's words a line, without what was sent."""
        names = [kind.__name__ for kind in type(error).__mro__]
        if "VaultError" not in names:
            return SecretAwayError(f"the Vault at {self.address} {self._why(names, str(error))}")
        said = self._said(getattr(error, "errors", None))
        if _SEALED.search(said):
            return SecretAwayError(f"the Vault at {self.address} is sealed; unseal it: bao operator unseal")
        if "VaultNotInitialized" in names:
            return SecretAwayError(f"the Vault at {self.address} is not set up yet: bao operator init")
        if _BUSY & set(names):
            return SecretAwayError(f"the Vault at {self.address} cannot answer now: {said}")
        status = next((_STATUS[name] for name in names if name in _STATUS), 0)
        return RefusedError(f"the Vault at {self.address} refused: {said}", status)

    def _why(self, names: list[str], text: str) -> str:
        if "Timeout" in names:
            return f"gave no answer within {self._timeout_s:g} s"
        if "SSLError" in names:
            return "has a certificate that is not trusted: name its authority's in VAULT_CACERT"
        found = _ERRNO.search(text)
        return f"cannot be reached: {found.group(1).strip() if found else names[0]}; look at VAULT_ADDR"

    def _said(self, errors: Any) -> str:
        lines = [str(each) for each in errors] if isinstance(errors, list) else []
        text = " ".join("; ".join(lines).split())
        for word in (*self._hidden, self._client.token):
            text = text.replace(word, "***") if word else text
        return "".join(letter for letter in text if letter.isprintable())[:_SAID] or "(nothing)"


def _lease(auth: dict[str, Any]) -> Lease:
    return Lease(
        ttl_s=int(auth.get("lease_duration") or 0),
        renewable=bool(auth.get("renewable")),
        policies=tuple(auth.get("policies") or ()),
    )
