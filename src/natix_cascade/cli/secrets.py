"""``natix-cascade secrets``: are the secrets there that configuration refers to? Values are never shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natix_cascade.cli.common import FAILED, JsonOption, fail, print_json

if TYPE_CHECKING:
    from natix_cascade.secrets import Secrets

__all__ = ["app"]

app = typer.Typer(
    help="Look whether secrets are there, by reference: env:NAME, file:PATH, vault:PATH#KEY.", no_args_is_help=True
)


@app.command("check")
def check(
    references: Annotated[
        list[str], typer.Argument(metavar="REF...", help="env:NAME, file:PATH or vault:PATH#KEY.", show_default=False)
    ],
    json_output: JsonOption = False,  # a flag
) -> None:
    """Read each secret and tell all but its value. Exit code 1: one of them cannot be had.

    Example: natix-cascade secrets check env:VLM_KEY vault:natix/huggingface#token
    """
    from natix_cascade.secrets import Secrets

    with Secrets() as secrets:
        told = [_told(secrets, text, number) for number, text in enumerate(references, start=1)]
    if json_output:
        print_json(told)
    else:
        for each in told:
            typer.echo(_line(each))
    if not all(each["ok"] for each in told):
        raise typer.Exit(FAILED)


@app.command("whoami")
def whoami(json_output: JsonOption = False) -> None:  # a flag
    """Log in at the Vault as VAULT_ADDR and its companions say, and tell who one is there; never the token."""
    from natix_cascade.errors import CascadeError
    from natix_cascade.secrets import Secrets

    with Secrets() as secrets:
        try:
            found = secrets.whoami()
        except CascadeError as error:
            fail(error, code=FAILED)
    if json_output:
        print_json(asdict(found))
        return
    typer.echo(f"method     {found.method}")
    typer.echo(f"name       {found.name or '-'}")
    typer.echo(f"policies   {', '.join(found.policies) or '-'}")
    typer.echo(f"time left  {f'{found.ttl_s} s' if found.ttl_s else 'it never ends'}")
    typer.echo(f"renewable  {'yes' if found.renewable else 'no'}")


def _told(secrets: Secrets, text: str, number: int) -> dict[str, Any]:
    from natix_cascade.errors import CascadeError

    shown = None
    try:
        secret = secrets.open(text)
        shown = str(secret.ref)
        found = secret.facts()
    except CascadeError as error:
        return {"ok": False, "argument": number, "reference": shown, "problem": str(error)}
    return {"ok": True, "argument": number, **asdict(found)}


def _line(told: dict[str, Any]) -> str:
    name = told["reference"] or f"argument {told['argument']}"
    if not told["ok"]:
        return f"FAIL  {name}: {told['problem'].removeprefix(f'{name}: ')}"
    version = f", version {told['version']} of {told['created']}" if told["version"] else ""
    remarks = "".join(f"; {remark}" for remark in told["remarks"])
    return f"ok    {name}: a value of {told['characters']} characters in {told['source']}{version}{remarks}"
