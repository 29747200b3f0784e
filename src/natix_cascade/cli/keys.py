"""``natix-cascade keys``: make, list, rotate and revoke the API keys of a service."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import JsonOption, fail, print_json

if TYPE_CHECKING:
    from types import ModuleType

    from natix_cascade.serve.key_file import Key

__all__ = ["app"]

app = typer.Typer(
    help="Make, list, rotate and revoke API keys. A service sees a change within a second.", no_args_is_help=True
)


class ScopeName(StrEnum):
    """What a key can open."""

    INFER = "infer"
    ADMIN = "admin"
    METRICS = "metrics"


FileOption = Annotated[
    Path, typer.Option("--file", "-f", help="The file of hashed keys, as in `serve --keys`.", dir_okay=False)
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="An id from `keys list`; the middle part of the key.")]
DaysOption = Annotated[
    float | None, typer.Option("--expires-days", min=0.0, max=36_500.0, help="Days until the key expires.")
]


@app.command("create")
def create_key(
    file: FileOption,
    scope: Annotated[
        list[ScopeName],
        typer.Option("--scope", help="What it opens; repeatable. admin opens all of infer too."),
    ],
    rate: Annotated[
        str | None, typer.Option("--rate", help="Its own limit, as 100/second. Default: the service's.")
    ] = None,
    expires_days: DaysOption = None,
    note: Annotated[str, typer.Option("--note", help="Whose it is, what for; no secrets.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is printed once and kept nowhere: the file holds its hash.

    Example: natix-cascade keys create --file keys.json --scope infer --rate 100/second --expires-days 90
    """
    from natix_cascade.errors import CascadeError

    keys = _key_file()
    try:
        key, text = keys.create(file, tuple(map(str, scope)), rate=rate, lifetime=_days(expires_days), note=note)
    except (CascadeError, OSError) as error:
        fail(error)
    _print_new(key, text, as_json=as_json)


@app.command("list")
def list_keys(file: FileOption, as_json: JsonOption = False) -> None:
    """List the keys: what they open, until when, and what for."""
    from datetime import UTC, datetime

    from natix_cascade.errors import CascadeError

    try:
        known = _key_file().KeyFile.read(file).keys
    except CascadeError as error:
        fail(error)
    now = datetime.now(UTC)
    if as_json:
        print_json([_shown(key) | {"expired": key.expired(now)} for key in known])
        return
    typer.echo(f"{'id':<10}{'scopes':<22}{'rate':<18}{'created':<12}{'expires':<22}note")
    for key in known:
        end = f"{key.expires:%Y-%m-%d %H:%MZ}" if key.expires else "never"
        typer.echo(
            f"{key.id:<10}{' '.join(key.scopes):<22}{key.rate or '-':<18}{key.created:%Y-%m-%d}  "
            f"{'expired' if key.expired(now) else end:<22}{key.note}"
        )


@app.command("revoke")
def revoke_key(name: IdArgument, file: FileOption, as_json: JsonOption = False) -> None:
    """Take a key out of the file: it opens nothing any more."""
    from natix_cascade.errors import CascadeError

    try:
        key = _key_file().revoke(file, name)
    except (CascadeError, OSError) as error:
        fail(error)
    if as_json:
        print_json({"revoked": key.id})
    else:
        typer.echo(f"revoked {key.id}")


@app.command("rotate")
def rotate_key(
    name: IdArgument,
    file: FileOption,
    grace_hours: Annotated[
        float, typer.Option("--grace-hours", min=0.0, max=87_600.0, help="How long the old key is good yet.")
    ] = 24.0,
    expires_days: DaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new key with the same scopes, rate and note; the old one is good for a while yet.

    Without --expires-days the new key lives as long as the old one was given.

    Example: natix-cascade keys rotate 1f0c55ab --file keys.json --grace-hours 48
    """
    from datetime import timedelta

    from natix_cascade.errors import CascadeError

    try:
        old, key, text = _key_file().rotate(
            file, name, grace=timedelta(hours=grace_hours), lifetime=_days(expires_days)
        )
    except (CascadeError, OSError) as error:
        fail(error)
    _print_new(key, text, as_json=as_json, old=old)


def _print_new(key: Key, text: str, *, as_json: bool, old: Key | None = None) -> None:
    if as_json:
        print_json({"key": text} | _shown(key) | ({"replaces": _shown(old)} if old else {}))
        return
    typer.echo(text)
    if old is not None and old.expires is not None:
        typer.echo(f"{old.id} is good until {old.expires:%Y-%m-%d %H:%MZ}", err=True)
    typer.echo(f"id {key.id}. Keep the key now: it is shown this once and kept nowhere.", err=True)


def _shown(key: Key) -> dict[str, Any]:
    """An entry without its hash."""
    return {
        "id": key.id,
        "scopes": list(key.scopes),
        "rate": key.rate,
        "created": key.created.isoformat(),
        "expires": key.expires and key.expires.isoformat(),
        "note": key.note,
    }


def _days(days: float | None) -> Any:
    from datetime import timedelta

    return None if days is None else timedelta(days=days)


def _key_file() -> ModuleType:
    try:
        from natix_cascade.serve import key_file
    except ImportError as error:
        fail(f"{error}; keys belong to the service: pip install 'natix-cascade[serve]'")
    return key_file
