"""`wardflow access`."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.access.questions import TOKENS, USERS
from library.access.tokens import Tokens
from library.warehouse.queries.pages import fetch_rows
from service.cli import users
from service.cli.choosing import all_among
from service.cli.output import DONE, Json, local, out, print_json, run, show_token, table
from service.cli.pools import open_warehouse
from service.sources import SCOPES

_SHOWN = ("id", "name", "scopes", "created_at", "expires_at", "revoked_at")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Who may do what.")
token = typer.Typer(add_completion=False, no_args_is_help=True, help="Tokens for the API.")
app.add_typer(token, name="token")
app.add_typer(users.user, name="user")
app.command()(users.grant)
app.command()(users.ungrant)


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            metavar=f"[{'|'.join(SCOPES)}]",
            callback=all_among(SCOPES),
            help="What it may do; can be given several times.",
        ),
    ],
    days: Annotated[int | None, typer.Option(min=1, max=3_650, help="Days until it expires; never unless set.")] = None,
    as_json: Json = False,
) -> None:
    """Create a token, and show it once."""

    async def main(settings: Settings) -> tuple[UUID, str]:
        async with open_warehouse(settings) as pool:
            expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
            token_id, made = await Tokens(pool).create(name, scope, expires_at=expires_at)
            await Audit(pool).record(LOCAL, "create_token", str(token_id), scopes=scope)
            return token_id, made

    show_token(*run(main), as_json=as_json)


@token.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List the tokens, without their secrets."""

    async def main(settings: Settings) -> list[dict[str, Any]]:
        async with open_warehouse(settings) as pool:
            names = {each["id"]: each["name"] for each in await fetch_rows(pool, USERS.ask())}
            tokens = await fetch_rows(pool, TOKENS.ask())
        return [{name: token[name] for name in _SHOWN} | {"user": names.get(token["user_id"])} for token in tokens]

    found = run(main)
    if as_json:
        print_json(found)
        return
    lines = table("token", "name", "user", "scopes", "created", "expires", "revoked")
    for each in found:
        times = (local(each[moment]) for moment in ("created_at", "expires_at", "revoked_at"))
        lines.add_row(str(each["id"]), each["name"], each["user"] or "", " ".join(each["scopes"]), *times)
    out.print(lines)


@token.command()
def revoke(token_id: Annotated[UUID, typer.Argument(help="Its id, from the list.")]) -> None:
    """Revoke a token, from the next request on."""

    async def main(settings: Settings) -> None:
        async with open_warehouse(settings) as pool:
            await Tokens(pool).revoke(token_id)
            await Audit(pool).record(LOCAL, "revoke_token", str(token_id))

    run(main)
    out.print(DONE, "The token is revoked.")
