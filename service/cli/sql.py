"""`wardflow sql`: the warehouse, read-only."""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Annotated, Any
from urllib.parse import unquote, urlsplit

import asyncpg
import typer
from asyncpg.prepared_stmt import PreparedStatement

from config.settings import Settings
from library.contracts.errors import ConfigurationError, WardflowError
from library.warehouse.failures import DISCONNECTED
from service.addresses import postgres_server
from service.cli.output import err, errors_as_sentences, load_settings, out, run, table
from service.resources import CONNECT_MAY_TAKE, WarehouseUnavailable
from service.stack.postgres import binary
from service.waiting import resolved, waiting_for

app = typer.Typer(add_completion=False)

_AT_ONCE = 1_000
"""Number of rows of one fetch."""


class QueryRefused(WardflowError):
    """Postgres refused the query, or its result cannot be printed in the requested format."""


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="Nothing: psql opens.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
) -> None:
    """Query the warehouse, or open psql on it. The connection is read-only."""
    if query is None:
        with errors_as_sentences():
            _open_psql(_read_only_dsn(load_settings()))
    elif as_json or as_csv:
        _print_for_a_script(query, as_json=as_json)
    else:
        _print_table(query)


def _print_for_a_script(query: str, *, as_json: bool) -> None:
    """Print values as Postgres formats them, since a driver changes types and loses digits."""

    async def main(settings: Settings) -> None:
        async with _prepared(settings, query) as (connection, statement):
            await (_write_json if as_json else _write_csv)(connection, statement, found)

    with tempfile.TemporaryFile() as found:
        run(main)
        found.seek(0)  # print only a complete result
        shutil.copyfileobj(found, typer.get_binary_stream("stdout"))


def _print_table(query: str) -> None:
    async def main(settings: Settings) -> tuple[list[str], list[asyncpg.Record]]:
        async with _prepared(settings, query) as (_, statement):
            return _columns(statement), await statement.fetch()

    columns, rows = run(main)
    lines = table(*columns)
    for row in rows:
        lines.add_row(*("" if value is None else str(value) for value in row.values()))
    out.print(lines)
    err.print(f"{len(rows):,} rows", style="dim")


@asynccontextmanager
async def _prepared(settings: Settings, query: str) -> AsyncIterator[tuple[asyncpg.Connection, PreparedStatement]]:
    """A read-only connection, with the query prepared.

    Preparing makes sure that the query is exactly one statement. COPY would send it as text, which could hold several
    statements, even COMMIT.
    """
    dsn, server = _read_only_dsn(settings), postgres_server(settings, read_only=True)
    await resolved(server)
    try:
        with waiting_for(server, "the connection is not open yet", seconds=CONNECT_MAY_TAKE):
            connection = await asyncpg.connect(dsn)
    except (asyncpg.PostgresError, *DISCONNECTED) as error:
        raise WarehouseUnavailable(f"Postgres does not answer ({type(error).__name__}).") from error
    try:
        # The role could change its own defaults, but a read-only transaction stays read-only.
        async with connection.transaction(readonly=True):
            with waiting_for(server, "it has not read the query yet"):
                statement = await connection.prepare(query)
            if not statement.get_attributes():
                await statement.fetch()  # run it, since Postgres may report an error
                raise QueryRefused(
                    "This statement returns no rows.", advice="Give one SELECT. For COPY and others use psql."
                )
            if statement.get_parameters():
                raise QueryRefused(
                    "The query has parameters without values.", advice="Write the values into the query."
                )
            with waiting_for(server, "it has not answered yet"):
                yield connection, statement
    except asyncpg.PostgresError as error:
        raise QueryRefused(f"Postgres refused the query: {error}", advice=str(error.hint or "")) from error
    finally:
        await connection.close()


async def _write_json(connection: asyncpg.Connection, statement: PreparedStatement, to: IO[bytes]) -> None:
    columns = _columns(statement)
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise QueryRefused(
            f"Two columns are called '{twice[0]}', but names in a JSON object must differ.",
            advice="Rename one with AS.",
        )
    written = 0
    async for row in _objects(connection, statement):
        to.write(b",\n" if written else b"[\n")
        to.write(row.encode())
        written += 1
    to.write(b"\n]\n" if written else b"[]\n")


async def _objects(connection: asyncpg.Connection, statement: PreparedStatement) -> AsyncIterator[str]:
    """Each row as the text of a JSON object."""
    if query := await _as_subquery(connection, statement):
        # `q.*` and not `q`, since a column may be called q.
        objects = await connection.prepare(f"SELECT row_to_json(q.*)::text FROM ({query}) q")  # noqa: S608 - as asked
        async for (row,) in objects.cursor(prefetch=_AT_ONCE):
            yield row
        return
    columns = _columns(statement)
    kinds = [attribute.type.name for attribute in statement.get_attributes()]
    for cells in await _texts(statement):
        values = [
            json.loads(cell) if kind == "json" and cell else cell for kind, cell in zip(kinds, cells, strict=True)
        ]
        yield json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False)


async def _write_csv(connection: asyncpg.Connection, statement: PreparedStatement, to: IO[bytes]) -> None:
    if query := await _as_subquery(connection, statement):
        await connection.copy_from_query(query, output=to, format="csv", header=True)
        return
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_STRINGS)
    rows.writerow(_columns(statement))
    rows.writerows(await _texts(statement))
    to.write(text.getvalue().encode())


async def _as_subquery(connection: asyncpg.Connection, statement: PreparedStatement) -> str | None:
    """The statement as a subquery; `None` if it cannot be one: EXPLAIN, SHOW, or a statement that changes rows."""
    query: str = statement.get_query().rstrip("; \t\r\n") + "\n"  # a line end, as the last line may be a comment
    try:
        async with connection.transaction():  # a savepoint, so an error does not end the outer transaction
            await connection.prepare(f"SELECT FROM ({query}) q")
    except (asyncpg.PostgresSyntaxError, asyncpg.FeatureNotSupportedError):
        return None
    return query


async def _texts(statement: PreparedStatement) -> list[list[str | None]]:
    """The rows of a statement that cannot be a subquery. EXPLAIN and SHOW return texts."""
    rows = [list(row.values()) for row in await statement.fetch()]
    if not all(isinstance(cell, str | None) for row in rows for cell in row):
        raise QueryRefused(
            "This result can only be printed as a table.", advice="Give one SELECT, and nothing after its semicolon."
        )
    return rows


def _columns(statement: PreparedStatement) -> list[str]:
    return [attribute.name for attribute in statement.get_attributes()]


def _read_only_dsn(settings: Settings) -> str:
    if settings.postgres.read_only_dsn is None:
        raise ConfigurationError(
            "No warehouse is set, and no stack runs.",
            advice="Start the stack with `wardflow up`, or set WARDFLOW_POSTGRES__READ_ONLY_DSN.",
        )
    return settings.postgres.read_only_dsn.get_secret_value()


def _open_psql(dsn: str) -> Any:  # noqa: ANN401 - it does not return
    psql = binary("psql")
    address = urlsplit(dsn)
    # The password is passed in the environment, since all users of the machine can read command lines.
    environment = os.environ | {"PGPASSWORD": unquote(address.password or "")}
    without_password = dsn.replace(f":{address.password}@", "@", 1)
    os.execve(psql, [psql, without_password], environment)  # noqa: S606 - psql itself, and no shell
