"""Keyset pages: a page begins after the last row of the one before, however many rows came in between."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from library.contracts.errors import WardflowError
from library.warehouse.pool import Pool

MOST = 1_000
"""Rows of a JSON page at most."""

_A_DOWNLOAD_MAY_TAKE = 3_600_000
"""Milliseconds: a connection is not held for longer by who reads slowly."""

_TYPES: dict[str, Sequence[str]] = {}


class CursorInvalid(WardflowError):
    """A cursor that this query did not give."""

    default_advice = "Take the address of the next page from the `Link` header, as it is."


@dataclass(frozen=True)
class Query:
    """A query whose rows can be paged.

    Attributes:
        select: SQL without ORDER BY: what pages are cut from, and no more than that takes.
        columns: what items show.
        arguments: of the SQL's parameters.
        order: columns of the rows that together are unique and never null: what pages are cut by.
        descending: the direction of all of them.
        joins: SQL that brings more to the rows of a page, which are `q`; each of them is joined once.
        expressions: of columns that are not just one of `q`'s, by name.
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
        """The list of what items show."""
        return ", ".join(f"{self.expressions.get(name, 'q.' + name)} AS {name}" for name in self.columns)

    @property
    def ordering(self) -> str:
        """ORDER BY for rows that are `q`."""
        direction = " DESC" if self.descending else ""
        return "ORDER BY " + ", ".join(f"q.{name}{direction}" for name in self.order)

    @property
    def ordered(self) -> str:
        """The whole query."""
        return f"SELECT {self.shown} FROM ({self.select}) q {self.joins} {self.ordering}"  # noqa: S608 - constants


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
    arguments = list(query.arguments)
    where = ""
    if after is not None:
        keys = _decoded(after, len(query.order))
        places = [f"${len(arguments) + number}" for number in range(1, len(keys) + 1)]
        casts = await _types(pool, query)
        typed = ", ".join(f"{place}::text::{kind}" for place, kind in zip(places, casts, strict=True))
        where = f"WHERE ROW({', '.join(query.order)}) {'<' if query.descending else '>'} ROW({typed})"
        arguments += keys
    keys_as_text = ", ".join(f"q.{name}::text" for name in query.order)
    statement = (
        f"SELECT (SELECT row_to_json(i) FROM (SELECT {query.shown}) i)::text AS item, "  # noqa: S608 - constants
        f"ARRAY[{keys_as_text}] AS keys "
        f"FROM (SELECT * FROM ({query.select}) q {where} {query.ordering} LIMIT {limit + 1:d}) q {query.joins} "
        f"{query.ordering}"
    )
    try:
        rows = await pool.fetch(statement, *arguments)
    except asyncpg.DataError:
        if after is None:
            raise
        raise CursorInvalid("The cursor is none that this query gave.") from None
    following = _encoded(rows[limit - 1]["keys"]) if len(rows) > limit else None
    return Page(("[" + ",".join(row["item"] for row in rows[:limit]) + "]").encode(), following)


async def stream_csv(pool: Pool, query: Query) -> AsyncGenerator[bytes]:
    """All rows as CSV with a header, streamed: a slow reader slows the query, and takes no memory."""
    chunks: asyncio.Queue[bytearray | None] = asyncio.Queue(maxsize=8)

    async def copy() -> None:
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            # The time of a COPY is its reader's: what bounds a page would cut it off in the middle.
            await connection.execute(f"SET LOCAL statement_timeout = {_A_DOWNLOAD_MAY_TAKE}")
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
        while not chunks.empty():  # so that nobody waits for room that nobody makes
            chunks.get_nowait()


async def _types(pool: Pool, query: Query) -> Sequence[str]:
    """The types of the columns that pages are cut by; asked once, since the schema is that of this program."""
    asked = f"SELECT {', '.join(query.order)} FROM ({query.select}) q"  # noqa: S608 - constants
    if asked not in _TYPES:
        async with pool.acquire() as connection:
            statement = await connection.prepare(asked)
            _TYPES[asked] = tuple(attribute.type.name for attribute in statement.get_attributes())
    return _TYPES[asked]


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
