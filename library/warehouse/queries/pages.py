"""Keyset pages: a page begins after the last row of the one before, however many rows came in between."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from library.contracts.errors import WardflowError
from library.warehouse.pool import Pool

MOST = 1_000
"""Rows of a JSON page at most."""


class CursorInvalid(WardflowError):
    """A cursor that this query did not give."""

    default_advice = "Take the address of the next page from the `Link` header, as it is."


@dataclass(frozen=True)
class Query:
    """A query whose rows can be paged.

    Attributes:
        select: SQL without ORDER BY.
        columns: those of its columns that items show.
        arguments: of the SQL's parameters.
        order: columns of the rows that together are unique and never null: what pages are cut by.
        descending: the direction of all of them.
    """

    select: str
    columns: tuple[str, ...]
    arguments: tuple[object, ...]
    order: tuple[str, ...]
    descending: bool = False

    @property
    def ordered(self) -> str:
        """The whole query."""
        direction = " DESC" if self.descending else ""
        order = ", ".join(name + direction for name in self.order)
        return f"SELECT {', '.join(self.columns)} FROM ({self.select}) q ORDER BY {order}"  # noqa: S608 - constants


@dataclass(frozen=True)
class Page:
    """Items as the bytes of a JSON list, and where the next page begins, if there is one."""

    items: bytes
    following: str | None


async def fetch_page(pool: Pool, query: Query, *, limit: int, after: str | None = None) -> Page:
    """One page; Postgres writes the items as JSON, so no row becomes a Python object.

    Raises:
        CursorInvalid: `after` is no cursor of this query.
    """
    direction, beyond = (" DESC", "<") if query.descending else ("", ">")
    arguments = list(query.arguments)
    where = ""
    if after is not None:
        keys = _decoded(after, len(query.order))
        places = [f"${len(arguments) + number}" for number in range(1, len(keys) + 1)]
        casts = await _types(pool, query)
        typed = ", ".join(f"{place}::text::{kind}" for place, kind in zip(places, casts, strict=True))
        where = f"WHERE ROW({', '.join(query.order)}) {beyond} ROW({typed})"
        arguments += keys
    order = ", ".join(name + direction for name in query.order)
    keys_as_text = ", ".join(f"{name}::text" for name in query.order)
    shown = ", ".join(f"q.{name}" for name in query.columns)
    statement = (
        f"SELECT (SELECT row_to_json(i) FROM (SELECT {shown}) i)::text AS item, ARRAY[{keys_as_text}] AS keys "  # noqa: S608
        f"FROM (SELECT * FROM ({query.select}) q {where} ORDER BY {order} LIMIT {limit + 1:d}) q ORDER BY {order}"
    )
    try:
        rows = await pool.fetch(statement, *arguments)
    except asyncpg.DataError:
        if after is None:
            raise
        raise CursorInvalid("The cursor is none that this query gave.") from None
    following = _encoded(rows[limit - 1]["keys"]) if len(rows) > limit else None
    return Page(("[" + ",".join(row["item"] for row in rows[:limit]) + "]").encode(), following)


async def stream_csv(pool: Pool, query: Query) -> AsyncIterator[bytes]:
    """All rows as CSV with a header, streamed: a slow reader slows the query, and takes no memory."""
    chunks: asyncio.Queue[bytearray | None] = asyncio.Queue(maxsize=8)

    async def copy() -> None:
        async with pool.acquire() as connection:
            await connection.copy_from_query(
                query.ordered, *query.arguments, output=chunks.put, format="csv", header=True
            )

    copying = asyncio.create_task(copy())
    copying.add_done_callback(lambda _: asyncio.ensure_future(chunks.put(None)))
    try:
        while (chunk := await chunks.get()) is not None:
            yield bytes(chunk)  # asyncpg hands out bytearrays
        await copying
    finally:
        copying.cancel()


async def _types(pool: Pool, query: Query) -> Sequence[str]:
    async with pool.acquire() as connection:
        statement = await connection.prepare(f"SELECT {', '.join(query.order)} FROM ({query.select}) q")  # noqa: S608
        return [attribute.type.name for attribute in statement.get_attributes()]


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
