"""A load against its floor: the same rows by COPY and one plain statement, in a transaction, into an equal table."""

from uuid import UUID

import pytest

from tests.benchmarks.measure import Report, best_of, in_turns
from tests.benchmarks.staged_readings import FLOOR, STAGED, Field
from tests.support.made_up import READING

pytestmark = pytest.mark.benchmark

ROUNDS = 5
COLUMNS = ", ".join(column.name for column in READING.columns)
COMPARED = (*READING.values, *READING.order)
LOAD_ID = UUID(int=1)


def row(alias: str) -> str:
    return f"ROW({', '.join(f'{alias}.{name}' for name in COMPARED)})"


INSERT = (
    f"INSERT INTO {FLOOR} ({COLUMNS}, load_id, reader_version) "
    f"SELECT {COLUMNS}, '{LOAD_ID}'::uuid, 1::smallint FROM {STAGED};"
)
JOIN = (
    f"SELECT count(*) FROM {STAGED} s LEFT JOIN {FLOOR} t ON t.id = s.id "
    f"WHERE t.id IS NULL OR {row('s')} IS DISTINCT FROM {row('t')};"
)
UPDATE = (
    f"UPDATE {FLOOR} t SET {', '.join(f'{name} = s.{name}' for name in COMPARED)}, "
    f"load_id = '{LOAD_ID}'::uuid, reader_version = 1::smallint FROM {STAGED} s "
    f"WHERE t.id = s.id AND {row('s')} IS DISTINCT FROM {row('t')};"
)


async def test_a_load_of_new_rows_costs_little_more_than_copy_and_insert(field: Field, report: Report) -> None:
    readings = await field.staged()

    async def ours() -> float:
        await field.empty()
        return await field.load(readings)

    async def floor() -> float:
        await field.empty()
        return await field.floor(readings, INSERT)

    await floor()  # makes the files and the WAL segments that later rounds find
    best = await best_of(ROUNDS, ours, floor)
    figure = report.ratio("load of 1M new rows", *best, at_most=1.4, of="COPY + INSERT … SELECT")
    assert figure.kept


async def test_the_same_rows_again_cost_little_more_than_copy_and_join(field: Field, report: Report) -> None:
    readings = await field.staged()
    await field.load(readings)
    await field.floor(readings, INSERT)
    written: list[int] = []

    async def ours() -> float:
        await field.settle()
        before = await field.pool.fetchval("SELECT pg_current_wal_insert_lsn()")
        took = await field.load(readings)
        written.append(await field.pool.fetchval("SELECT (pg_current_wal_insert_lsn() - $1::pg_lsn)::bigint", before))
        return took

    async def floor() -> float:
        await field.settle()
        return await field.floor(readings, JOIN)

    best = await best_of(ROUNDS, ours, floor)
    time = report.ratio("load of the same 1M rows again", *best, at_most=1.3, of="COPY + join that compares")
    wal = min(written)  # what others write meanwhile only adds to it
    size = report.enter("WAL of it", f"{wal / 1e3:.0f} kB", "< 1 MB", kept=wal < 1_000_000, parts=f"best of {ROUNDS}")
    assert time.kept
    assert size.kept


async def test_a_load_that_changes_every_tenth_row_costs_little_more_than_copy_join_and_update(
    field: Field, report: Report
) -> None:
    first = await field.staged()
    changed = await field.staged(changed_every=10, name="changed")
    await field.load(first)
    await field.floor(first, INSERT)
    turn = {"ours": 0, "floor": 0}

    async def ours() -> float:
        await field.settle()
        turn["ours"] += 1
        return await field.load(changed if turn["ours"] % 2 else first)

    async def floor() -> float:
        await field.settle()
        turn["floor"] += 1
        return await field.floor(changed if turn["floor"] % 2 else first, UPDATE)

    taken = await in_turns(ROUNDS + 1, ours, floor)
    best = [min(each[1:]) for each in taken]  # the first makes room for new versions that later ones find
    figure = report.ratio("load that changes 10 % of 1M rows", *best, at_most=1.3, of="COPY + join + UPDATE")
    assert figure.kept
