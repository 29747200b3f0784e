"""One value out of a KV version 2 store: which mount holds the path, and what is wrong where it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from natix_cascade.errors import SecretError
from natix_cascade.secrets.reference import SecretRef
from natix_cascade.secrets.session import VaultSession
from natix_cascade.secrets.vault import RefusedError, VaultConnection

__all__ = ["KvReader", "VaultValue"]

_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_KEYS: Final = 20  # that an error names


@dataclass(frozen=True, slots=True)
class VaultValue:
    """A value and where it came from.

    Attributes
    ----------
    value : str
        The secret.
    version : int
        Of all that lies at the path.
    created : str
        When that version was written.
    mount : str
        Which mount holds it.
    """

    value: str = field(repr=False)
    version: int
    created: str
    mount: str


class KvReader:
    """Reads references by a session; remembers which mount holds a path.

    Parameters
    ----------
    session : VaultSession
        Whom to ask.
    """

    def __init__(self, session: VaultSession) -> None:
        self._session = session
        self._mounts: dict[str, str] = {}

    def read(self, ref: SecretRef) -> VaultValue:
        """Read the newest version.

        Raises
        ------
        SecretAwayError
            The Vault does not answer.
        SecretError
            It is forbidden, or there is no such path or key, or the mount is of another kind.
        """
        mount = self._mounts.get(ref.place) or self._mount(ref)
        path = ref.place.removeprefix(mount)
        try:
            found = self._session.ask(lambda vault: vault.version2(mount.rstrip("/"), path))
        except RefusedError as error:
            self._mounts.pop(ref.place, None)
            problem = self._refused(ref, mount, path, error)
        else:
            self._mounts[ref.place] = mount
            return _value(ref, mount, found)
        raise problem

    def _mount(self, ref: SecretRef) -> str:
        """The mount with a slash behind it; where nobody tells, the first part of the path."""
        try:
            told = self._session.ask(lambda vault: vault.mount_of(ref.place))
        except RefusedError as error:
            if error.status not in {_FORBIDDEN, _NOT_FOUND}:
                raise
            return ref.place.partition("/")[0] + "/"
        mount = str(told.get("path") or "")
        options = told.get("options")
        version = options.get("version") if isinstance(options, dict) else None
        if told.get("type") not in {"kv", "generic"}:
            raise SecretError(f"{ref}: the mount {mount} is of the kind {told.get('type')!r}; KV version 2 is wanted")
        if version != "2":
            raise SecretError(
                f"{ref}: the mount {mount} is KV version 1; version 2 is wanted: bao kv enable-versioning {mount}"
            )
        if not mount or not ref.place.startswith(mount):
            raise SecretError(f"{ref}: the mount is {mount}; write the path below it too")
        return mount

    def _refused(self, ref: SecretRef, mount: str, path: str, error: RefusedError) -> SecretError:
        if error.status == _FORBIDDEN:
            return self._forbidden(ref, mount, path)
        if error.status != _NOT_FOUND:
            return SecretError(f"{ref}: {error}")
        advice = f"bao kv put -mount={mount.rstrip('/')} {path} {ref.key}=-"
        if path.startswith("data/"):
            advice = f"write it without data/: vault:{mount}{path.removeprefix('data/')}#{ref.key}"
        return SecretError(f"{ref}: nothing at {path} in {mount}; {advice}")

    def _forbidden(self, ref: SecretRef, mount: str, path: str) -> SecretError:
        try:
            self._session.ask(VaultConnection.look_up)
        except RefusedError:
            return SecretError(f"{ref}: the Vault does not take the token: it is wrong, has ended or was revoked")
        return SecretError(
            f'{ref}: forbidden; the policy needs: path "{mount}data/{path}" {{ capabilities = ["read"] }} '
            f"(or there is no mount {mount}: a Vault does not tell these apart)"
        )


def _value(ref: SecretRef, mount: str, found: dict[str, Any]) -> VaultValue:
    about = found.get("metadata")
    about = about if isinstance(about, dict) else {}
    data = found.get("data")
    if not isinstance(data, dict):
        raise SecretError(
            f"{ref}: version {about.get('version')} was deleted at {about.get('deletion_time')}; write a new one, or "
            f"bao kv undelete"
        )
    if ref.key not in data:
        names = ", ".join(sorted(map(str, data))[:_KEYS]) or "none"
        raise SecretError(f"{ref}: no key {ref.key!r} there; the keys are: {names}")
    value = data[ref.key]
    if not isinstance(value, str):
        raise SecretError(f"{ref}: the value is of the kind {type(value).__name__}; text is wanted")
    if not value.strip():
        raise SecretError(f"{ref}: the value is empty")
    return VaultValue(value.strip(), int(about.get("version") or 0), str(about.get("created_time") or ""), mount)
