"""COPY of staged rows from the store, as the loader streams it, against psql's copy of a local file."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from library.datasets.sql import staged_name
from library.staging.files import staged_columns
from library.warehouse import loader
from library.warehouse.statements import create_staged
from tests.benchmarks.measure import Report, Stopwatch, best_of
from tests.benchmarks.psql import seconds_of
from tests.benchmarks.staged_readings import Field, Readings, copied
from tests.support.made_up import READING

pytestmark = pytest.mark.benchmark

ROUNDS = 7
MIB = 1024 * 1024
MAY_GROW = 64 * MIB


async def test_copy_from_the_store_is_as_fast_as_psql(field: Field, report: Report) -> None:
    readings = await field.staged()

    async def ours() -> float:
        async with field.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(create_staged(READING))
            took = Stopwatch()
            # The product's own COPY, without what a load does before and after.
            await loader.copied(
                connection, staged_name(READING), staged_columns(READING), field.store.stream(readings.object)
            )
            seconds = took()
            await transaction.rollback()
            return seconds

    async def psql() -> float:
        make, copy = copied(readings)
        return await seconds_of(field.dsn, "BEGIN;", make, copy, "ROLLBACK;", counting=slice(2, 3))

    best = await best_of(ROUNDS, ours, psql)
    assert report.ratio("COPY of 1M staged rows from the store", *best, at_most=1.25, of=r"psql \copy").kept


async def test_a_load_takes_the_same_memory_however_many_rows_it_has(field: Field, report: Report) -> None:
    grown = {}
    for rows in (100_000, 1_000_000):
        readings = await field.staged(rows)
        grown[rows] = await memory_of_a_load(field, readings)
        await field.empty()
    most = max(grown.values())
    parts = ", ".join(f"{rows / 1e6:g}M rows: {size / MIB:.0f} MiB" for rows, size in grown.items())
    figure = report.enter(
        "memory of a worker's load, over its base",
        f"{most / MIB:.0f} MiB",
        "≤ 64 MiB",
        kept=most <= MAY_GROW,
        parts=parts,
    )
    assert figure.kept


async def memory_of_a_load(field: Field, readings: Readings) -> int:
    """Bytes by which a process of its own grew at most while it loaded the rows."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.load_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    asked = {
        "dsn": field.dsn,
        "folder": str(field.settings.stack.folder),
        "request": field.request(readings).model_dump(mode="json"),
    }
    said, _ = await process.communicate(json.dumps(asked).encode())
    assert process.returncode == 0
    answer = json.loads(said)
    assert answer["inserted"] == readings.rows
    return int(answer["peak"]) - int(answer["base"])
