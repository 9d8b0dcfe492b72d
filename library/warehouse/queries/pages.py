"""Keyset pages: a page begins after the last row of the page before, even if rows were added since."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from library.contracts.errors import WardflowError
from library.warehouse.pool import Pool

MOST = 1_000
"""Maximum number of rows of a JSON page."""

_A_DOWNLOAD_MAY_TAKE = 3_600_000
"""Milliseconds. A slow client does not hold a connection for longer."""
STALLED_AFTER = 60.0
"""Seconds after which a download ends if its client reads nothing."""

_TYPES: dict[str, Sequence[str]] = {}


class CursorInvalid(WardflowError):
    """The cursor does not belong to this query."""

    default_advice = "Take the address of the next page from the `Link` header, as it is."


class DownloadStalled(WardflowError):
    """The client of a download read nothing for too long."""

    default_advice = "Ask again, and read on; or ask page by page."


@dataclass(frozen=True)
class Query:
    """A query whose rows can be paged.

    Attributes:
        select: SQL without ORDER BY. A page is a part of its rows, so it should not join more than they need.
        columns: the columns of the items.
        arguments: the arguments of the SQL's parameters.
        order: the columns by which rows are sorted. Together they are unique and never null.
        descending: the direction of all order columns.
        joins: SQL that joins more columns to the rows of a page (`q`). A row is joined once.
        expressions: SQL of columns that are not simply columns of `q`, by name.
    """

    select: str
    columns: tuple[str, ...]
    arguments: tuple[object, ...]
    order: tuple[str, ...]
    descending: bool = False
    joins: str = ""
    expressions: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The SQL list of the items' columns."""
        return ", ".join(f"{self.expressions.get(name, 'q.' + name)} AS {name}" for name in self.columns)

    @property
    def ordering(self) -> str:
        """ORDER BY for rows of `q`."""
        direction = " DESC" if self.descending else ""
        return "ORDER BY " + ", ".join(f"q.{name}{direction}" for name in self.order)

    def rows(self, shown: str, where: str = "", limit: int | None = None) -> str:
        """The rows of a page in their order, with `joins`. Joined before the LIMIT, Postgres would join all rows."""
        cut = self.select
        if where or limit is not None:
            most = "" if limit is None else f"LIMIT {limit:d}"
            cut = f"SELECT * FROM ({self.select}) q {where} {self.ordering} {most}"  # noqa: S608 - constants
        return f"SELECT {shown} FROM ({cut}) q {self.joins} {self.ordering}"  # noqa: S608 - constants


@dataclass(frozen=True)
class Page:
    """Items as the bytes of a JSON list, and the cursor of the next page, if there is one."""

    items: bytes
    following: str | None


async def fetch_page(pool: Pool, query: Query, *, limit: int, after: str | None = None) -> Page:
    """One page; Postgres writes the items as JSON, so no row becomes a Python object.

    Raises:
        CursorInvalid: `after` is no cursor of this query.
    """
    where, arguments = await _after(pool, query, after)
    keys = ", ".join(f"q.{name}::text" for name in query.order)
    item = f"(SELECT row_to_json(i) FROM (SELECT {query.shown}) i)::text AS item, ARRAY[{keys}] AS keys"  # noqa: S608 - as above
    statement = query.rows(item, where, limit + 1)
    try:
        rows = await pool.fetch(statement, *arguments)
    except asyncpg.DataError:
        if after is None:
            raise
        raise CursorInvalid("The cursor is none that this query gave.") from None
    following = _encoded(rows[limit - 1]["keys"]) if len(rows) > limit else None
    return Page(("[" + ",".join(row["item"] for row in rows[:limit]) + "]").encode(), following)


async def stream_csv(
    pool: Pool,
    query: Query,
    *,
    limit: int | None = None,
    gate: AbstractAsyncContextManager[object] | None = None,
) -> AsyncGenerator[bytes]:
    """Stream rows as CSV with a header. A slow client slows the query and does not use memory.

    Args:
        pool: gives the connection.
        query: the query of the rows.
        limit: maximum number of rows; None: all.
        gate: held as long as the connection.

    Raises:
        DownloadStalled: the client read nothing for `STALLED_AFTER`; its connection is free again.
    """
    chunks: asyncio.Queue[bytearray | None] = asyncio.Queue(maxsize=8)

    async def put(chunk: bytearray) -> None:
        try:
            async with asyncio.timeout(STALLED_AFTER):
                await chunks.put(chunk)
        except TimeoutError:
            raise DownloadStalled("The download was not read on.") from None

    async def copy() -> None:
        async with gate or nullcontext(), pool.acquire() as connection:
            try:
                async with connection.transaction(readonly=True):
                    # The client decides how long a COPY takes, so the time-out of pages must not end it.
                    await connection.execute(f"SET LOCAL statement_timeout = {_A_DOWNLOAD_MAY_TAKE}")
                    await connection.copy_from_query(
                        query.rows(query.shown, limit=limit), *query.arguments, output=put, format="csv", header=True
                    )
            except BaseException:
                connection.terminate()  # it may be in the middle of a COPY, which cannot be ended otherwise
                raise

    copying = asyncio.create_task(copy())
    copying.add_done_callback(lambda _: asyncio.ensure_future(chunks.put(None)))
    try:
        while (chunk := await chunks.get()) is not None:
            yield bytes(chunk)  # asyncpg returns bytearrays
        await copying
    finally:
        copying.cancel()
        while not chunks.empty():  # empty the queue, or the producer waits for space forever
            chunks.get_nowait()
        await asyncio.gather(copying, return_exceptions=True)


async def _after(pool: Pool, query: Query, after: str | None) -> tuple[str, list[object]]:
    """The WHERE clause for rows after a cursor, with its arguments."""
    arguments = list(query.arguments)
    if after is None:
        return "", arguments
    keys = _decoded(after, len(query.order))
    places = [f"${len(arguments) + number}" for number in range(1, len(keys) + 1)]
    casts = await _types(pool, query)
    typed = ", ".join(f"{place}::text::{kind}" for place, kind in zip(places, casts, strict=True))
    return f"WHERE ROW({', '.join(query.order)}) {'<' if query.descending else '>'} ROW({typed})", [*arguments, *keys]


async def _types(pool: Pool, query: Query) -> Sequence[str]:
    """The types of the columns that pages are cut by. Cached, since the schema does not change while a program runs."""
    sql = f"SELECT {', '.join(query.order)} FROM ({query.select}) q"  # noqa: S608 - constants
    if sql not in _TYPES:
        async with pool.acquire() as connection:
            statement = await connection.prepare(sql)
            _TYPES[sql] = tuple(attribute.type.name for attribute in statement.get_attributes())
    return _TYPES[sql]


def _encoded(keys: Sequence[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(keys)).encode()).decode().rstrip("=")


def _decoded(cursor: str, count: int) -> list[str]:
    try:
        keys: Any = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        keys = None
    if (
        not isinstance(keys, list)
        or len(keys) != count
        or not all(isinstance(key, str) and "\0" not in key for key in keys)
    ):
        raise CursorInvalid("The cursor is none that this query gave.")
    return keys
