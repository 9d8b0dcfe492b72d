"""Rows as CSV: all of them, however long their reader takes, and nothing left behind where it goes away."""

import asyncio
from contextlib import aclosing

import pytest
from sqlalchemy import ColumnElement, Integer, Text, cast, column, func, select

from config.settings import Settings
from library.warehouse.pool import Pool, create_pool
from library.warehouse.queries import pages
from library.warehouse.queries.columns import Column
from library.warehouse.queries.pages import DownloadStalled, stream_csv
from library.warehouse.queries.question import BoundQuestion, Question
from service.resources import warehouse_dsn


def numbers(to: int, filler: ColumnElement[str]) -> BoundQuestion:
    """A question that answers with the numbers from 1 on, and a text for each."""
    each = func.generate_series(1, to).table_valued(column("n", Integer)).render_derived("numbers")
    return Question(
        name="made_up.numbers",
        about="Numbers.",
        scope="made-up",
        rows=lambda _: select(each.c.n, filler.label("filler")),
        columns=(Column("n", int), Column("filler", str)),
        item="Number",
        order=("n",),
    ).ask()


SLOW = numbers(60, cast(func.pg_sleep(0.01), Text))
MANY = numbers(100_000, func.repeat("x", 1_000))
WAITS_FOR_ITS_READER = (
    "SELECT true FROM pg_stat_activity WHERE application_name = 'leaving' AND wait_event = 'ClientWrite'"
)


async def test_a_download_may_take_longer_than_a_page(settings: Settings) -> None:
    pool: Pool = await create_pool(warehouse_dsn(settings), size=1, statement_timeout=0.2, stateless=True)
    try:
        text = b"".join([chunk async for chunk in stream_csv(pool, SLOW)]).decode()
        assert text.splitlines() == ["n,filler", *(f'{number},""' for number in range(1, 61))]
        assert await pool.fetchval("SHOW statement_timeout") == "200ms"
    finally:
        await pool.close()


async def test_a_reader_that_leaves_gives_its_connection_back_and_leaves_nobody_waiting(
    settings: Settings, pool: Pool
) -> None:
    one = await create_pool(warehouse_dsn(settings), size=1, application_name="leaving", stateless=True)
    before = asyncio.all_tasks()
    try:
        async with asyncio.timeout(30):
            async with aclosing(stream_csv(one, MANY)) as chunks:
                await anext(chunks)
                while not await pool.fetchval(WAITS_FOR_ITS_READER):  # noqa: ASYNC110 - only Postgres knows
                    await asyncio.sleep(0.01)
            assert await one.fetchval("SELECT 1") == 1
            while asyncio.all_tasks() - before:  # noqa: ASYNC110 - the end of a task sends no event
                await asyncio.sleep(0.01)
    finally:
        await one.close()


async def test_a_reader_that_stalls_holds_no_connection(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "STALLED_AFTER", 0.2)
    one = await create_pool(warehouse_dsn(settings), size=1, stateless=True)
    try:
        async with asyncio.timeout(30), aclosing(stream_csv(one, MANY)) as chunks:
            await anext(chunks)
            assert await one.fetchval("SELECT 1") == 1  # waits until the download has given up the only connection
            with pytest.raises(DownloadStalled):
                async for _ in chunks:
                    pass
    finally:
        await one.close()
