"""`wardflow sql`: the warehouse, read-only."""

import csv
import os
import sys
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import asyncpg
import typer

from config.settings import Settings
from library.contracts.errors import ConfigurationError, WardflowError
from library.warehouse.failures import DISCONNECTED
from service.cli.output import err, errors_as_sentences, load_settings, out, print_json, run, table
from service.resources import WarehouseUnavailable
from service.stack.postgres import binary

app = typer.Typer(add_completion=False)


class QueryRefused(WardflowError):
    """Postgres refused a query."""


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="Nothing: psql opens.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
) -> None:
    """Query the warehouse, or open psql on it; nothing can be changed from here."""
    if query is None:
        with errors_as_sentences():
            _open_psql(_read_only_dsn(load_settings()))

    async def main(settings: Settings) -> tuple[list[str], list[asyncpg.Record]]:
        return await _fetch(_read_only_dsn(settings), query or "")

    columns, rows = run(main)
    if as_json:
        print_json([dict(row) for row in rows])
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        lines = table(*columns)
        for row in rows:
            lines.add_row(*("" if value is None else str(value).replace("[", r"\[") for value in row.values()))
        out.print(lines)
        err.print(f"{len(rows):,} rows", style="dim")


async def _fetch(dsn: str, query: str) -> tuple[list[str], list[asyncpg.Record]]:
    try:
        connection = await asyncpg.connect(dsn)
    except (asyncpg.PostgresError, *DISCONNECTED) as error:
        raise WarehouseUnavailable(f"Postgres does not answer ({type(error).__name__}).") from error
    try:
        # The role may change its own defaults; a transaction that was begun read-only stays so.
        async with connection.transaction(readonly=True):
            statement = await connection.prepare(query)
            columns = [attribute.name for attribute in statement.get_attributes()]
            return columns, await statement.fetch()
    except asyncpg.PostgresError as error:
        raise QueryRefused(f"Postgres refused the query: {error}", advice=str(error.hint or "")) from error
    finally:
        await connection.close()


def _read_only_dsn(settings: Settings) -> str:
    if settings.postgres.read_only_dsn is None:
        raise ConfigurationError(
            "No warehouse is known here.",
            advice="Start the stack with `wardflow up`, or set WARDFLOW_POSTGRES__READ_ONLY_DSN.",
        )
    return settings.postgres.read_only_dsn.get_secret_value()


def _open_psql(dsn: str) -> Any:  # noqa: ANN401 - it does not return
    psql = binary("psql")
    address = urlsplit(dsn)
    # The password goes by the environment: a command line can be read by everybody on the machine.
    environment = os.environ | {"PGPASSWORD": unquote(address.password or "")}
    without_password = dsn.replace(f":{address.password}@", "@", 1)
    os.execve(psql, [psql, without_password], environment)  # noqa: S606 - psql itself, and no shell
