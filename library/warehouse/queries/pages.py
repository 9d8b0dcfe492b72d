"""Keyset pages: a page begins after the last row of the page before, even if rows were added since."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import asyncpg

from library.contracts.errors import WardflowError
from library.warehouse.pool import Connection, Pool
from library.warehouse.queries.building import AFTER, page_statement, table_statement
from library.warehouse.queries.question import BoundQuestion

MOST = 1_000
"""Maximum number of rows of a JSON page."""

_A_DOWNLOAD_MAY_TAKE = 3_600_000
"""Milliseconds. A slow client does not hold a connection for longer."""
STALLED_AFTER = 60.0
"""Seconds after which a download ends if its client reads nothing."""


class CursorInvalid(WardflowError):
    """The cursor does not belong to this query."""

    default_advice = "Take the address of the next page from the `Link` header, as it is."


class DownloadStalled(WardflowError):
    """The client of a download read nothing for too long."""

    default_advice = "Ask again, and read on; or ask page by page."


@dataclass(frozen=True)
class Page:
    """Items as the bytes of a JSON list, and the cursor of the next page, if there is one."""

    items: bytes
    following: str | None


async def fetch_rows(
    connection: Pool | Connection, query: BoundQuestion, limit: int | None = None
) -> Sequence[asyncpg.Record]:
    """All rows of an answer, or the first ones, for the program itself."""
    statement = table_statement(query, limit)
    rows: Sequence[asyncpg.Record] = await connection.fetch(statement.sql, *statement.arguments(query.values))
    return rows


async def fetch_page(pool: Pool, query: BoundQuestion, *, limit: int, after: str | None = None) -> Page:
    """One page; Postgres writes the items as JSON, so no row becomes a Python object.

    Raises:
        CursorInvalid: `after` is no cursor of this query.
    """
    statement = page_statement(query, limit + 1, after=after is not None)
    try:
        rows = await pool.fetch(statement.sql, *statement.arguments({**query.values, **_place(query, after)}))
    except asyncpg.DataError:
        if after is None:
            raise
        raise CursorInvalid("The cursor is none that this query gave.") from None
    following = _encoded(rows[limit - 1]["keys"]) if len(rows) > limit else None
    return Page(("[" + ",".join(row["item"] for row in rows[:limit]) + "]").encode(), following)


async def stream_csv(
    pool: Pool,
    query: BoundQuestion,
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
    statement = table_statement(query, limit)
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
                        statement.sql, *statement.arguments(query.values), output=put, format="csv", header=True
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


def _place(query: BoundQuestion, after: str | None) -> dict[str, str]:
    """The parameters of the rows after a cursor."""
    keys = () if after is None else _decoded(after, len(query.order))
    return {f"{AFTER}{number}": key for number, key in enumerate(keys)}


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
