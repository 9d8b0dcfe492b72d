"""`wardflow access user` and `wardflow access grant`: users who post records, and their grants."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from asyncpg import Record

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.access.questions import USERS
from library.access.tokens import Tokens
from library.access.users import Users
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_rows
from service.cli.choosing import all_among
from service.cli.output import DONE, Json, local, out, print_json, run, show_token, table
from service.cli.pools import open_warehouse
from service.sources import POSTING_APIS

user = typer.Typer(add_completion=False, no_args_is_help=True, help="Users who post records.")

Name = Annotated[str, typer.Argument(help="The user's name.")]
Apis = Annotated[
    list[str],
    typer.Argument(
        metavar=f"[{'|'.join(POSTING_APIS)}]...", callback=all_among(POSTING_APIS), help="What may be posted."
    ),
]


@user.command()
def add(
    name: Name,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password, for HTTP Basic.")] = False,
    as_json: Json = False,
) -> None:
    """Create a user without grants."""
    given = _password() if password else None

    async def main(pool: Pool) -> UUID:
        user_id = await Users(pool).create(name, given)
        await Audit(pool).record(LOCAL, "create_user", str(user_id))
        return user_id

    user_id = _run(main)
    if as_json:
        print_json({"id": user_id, "name": name})
        return
    out.print(DONE, f"User {user_id}. Grant APIs with `wardflow access grant {name} …`.")


@user.command("list")
def list_users(as_json: Json = False) -> None:
    """List the users and their grants."""

    async def main(pool: Pool) -> Sequence[Record]:
        return await fetch_rows(pool, USERS.ask())

    found = _run(main)
    if as_json:
        print_json([dict(each) for each in found])
        return
    lines = table("user", "name", "grants", "password", "created", "disabled")
    for each in found:
        has = "yes" if each["has_password"] else "no"
        times = (local(each[moment]) for moment in ("created_at", "disabled_at"))
        lines.add_row(str(each["id"]), each["name"], " ".join(each["grants"]), has, *times)
    out.print(lines)


@user.command()
def password(name: Name) -> None:
    """Change a user's password. It is read from the terminal or from standard input."""
    given = _password()

    async def main(pool: Pool) -> None:
        await Users(pool).set_password(name, given)
        await _recorded(pool, "set_password", name)

    _run(main)
    out.print(DONE, "The new password is valid from now on; the old one is not.")


@user.command()
def disable(name: Name) -> None:
    """Refuse a user's password and tokens, from the next request on."""

    async def main(pool: Pool) -> None:
        await Users(pool).disable(name)
        await _recorded(pool, "disable_user", name)

    _run(main)
    out.print(DONE, "The user is disabled.")


@user.command()
def enable(name: Name) -> None:
    """Accept a disabled user again."""

    async def main(pool: Pool) -> None:
        await Users(pool).enable(name)
        await _recorded(pool, "enable_user", name)

    _run(main)
    out.print(DONE, "Password, tokens and grants are valid again.")


@user.command()
def token(
    name: Name,
    days: Annotated[int | None, typer.Option(min=1, max=3_650, help="Days until it expires; never unless set.")] = None,
    as_json: Json = False,
) -> None:
    """Create a token for a user, and show it once. Revoke it with `wardflow access token revoke`."""

    async def main(pool: Pool) -> tuple[UUID, str]:
        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        user_id = await Users(pool).id_of(name)
        token_id, made = await Tokens(pool).create(name, [], expires_at=expires_at, user_id=user_id)
        await Audit(pool).record(LOCAL, "create_token", str(token_id), user=str(user_id))
        return token_id, made

    show_token(*_run(main), as_json=as_json)


def grant(name: Name, apis: Apis) -> None:
    """Allow a user to post to APIs, from the next request on."""

    async def main(pool: Pool) -> None:
        for api in apis:
            await Users(pool).grant(name, api)
            await _recorded(pool, "grant", name, api=api)

    _run(main)
    out.print(DONE, f"{name} may post: {', '.join(apis)}.")


def ungrant(name: Name, apis: Apis) -> None:
    """Remove grants of a user, from the next request on."""

    async def main(pool: Pool) -> None:
        for api in apis:
            await Users(pool).ungrant(name, api)
            await _recorded(pool, "ungrant", name, api=api)

    _run(main)
    out.print(DONE, f"{name} may no longer post: {', '.join(apis)}.")


async def _recorded(pool: Pool, action: str, name: str, **detail: str) -> None:
    await Audit(pool).record(LOCAL, action, str(await Users(pool).id_of(name)), **detail)


def _password() -> str:
    """Read a password. It is never an argument, since other users of the machine can read command lines."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


def _run[T](act: Callable[[Pool], Awaitable[T]]) -> T:
    async def main(settings: Settings) -> T:
        async with open_warehouse(settings) as pool:
            return await act(pool)

    return run(main)
