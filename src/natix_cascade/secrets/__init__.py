"""Secrets by reference: configuration says where a secret is kept, never what it is.

`reference` reads references, `sources` has the environment and files, `vault_secrets` keeps what a Vault holds fresh
(`kv` finds and reads it, `session` holds a valid token, `vault` alone speaks with the server), `resolver` brings them
together. A leaf: of natix_cascade only the errors are imported here.

Examples
--------
>>> import os
>>> from natix_cascade.secrets import Secrets
>>> os.environ["EXAMPLE_KEY"] = "sk-1"
>>> with Secrets() as secrets:
...     key = secrets.open("env:EXAMPLE_KEY")
...     print(repr(key), len(key.reveal()))
<secret env:EXAMPLE_KEY> 4
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natix_cascade.secrets.reference import SecretRef, is_reference

if TYPE_CHECKING:
    from natix_cascade.secrets.resolver import Secrets, shared
    from natix_cascade.secrets.session import Holder
    from natix_cascade.secrets.settings import VaultSettings
    from natix_cascade.secrets.sources import Facts, Secret

__all__ = ["Facts", "Holder", "Secret", "SecretRef", "Secrets", "VaultSettings", "is_reference", "shared"]

_LATER = {
    "Facts": "sources",
    "Holder": "session",
    "Secret": "sources",
    "Secrets": "resolver",
    "VaultSettings": "settings",
    "shared": "resolver",
}


def __getattr__(name: str) -> Any:
    """Import what opens references when it is first used: reading configuration needs the references only."""
    if name in _LATER:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(f"natix_cascade.secrets.{_LATER[name]}"), name)
    raise AttributeError(f"module 'natix_cascade.secrets' has no attribute {name!r}")
