"""A batch and its offset are one transaction: right under repeats, zombies, rewinds, pauses and bad rows."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from library.contracts.drains import StreamState
from library.contracts.loads import DatasetCounts
from library.warehouse.batches import TOMBSTONE
from library.warehouse.offsets import Offsets
from library.warehouse.pool import Pool
from library.warehouse.stream_loader import BatchRefused, BatchStale
from tests.support.streams import LARGEST, TOPIC_ID, Drained, Rec, encoded, lab_result

NAME = "records.lab_result"


async def stored(pool: Pool, columns: str = "lab_value") -> list[tuple[Any, ...]]:
    rows = await pool.fetch(f"SELECT {columns} FROM records.lab_result ORDER BY patient_id, lab_date_time")
    return [tuple(row) for row in rows]


async def position(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT next_offset FROM ingest.stream_offset"))


async def test_rows_carry_their_place_and_the_offset_and_the_ledger_move_with_them(pool: Pool) -> None:
    stream = Drained(pool, partition=3)
    batch = await stream.batch([Rec(0, encoded(lab_result(1))), Rec(1, encoded(lab_result(2, lab_value=3)))])
    drain = await stream.load(batch)

    place = 'topic, partition, "offset", generation, event_at, load_id'
    at, load_id = datetime.fromtimestamp(1_700_000_000, UTC), drain.identity.load_id
    assert await stored(pool, place) == [
        ("lab_results", 3, 0, 1, at, load_id),
        ("lab_results", 3, 1, 1, at, load_id),
    ]
    assert await stored(pool, "patient_id, lab_name, lab_value, lab_units, lab_date_time") == [
        (UUID(int=1), "CBC: RDW", 14.5, "%", datetime(2024, 3, 1, 8, 30, 0, 123_000, UTC)),
        (UUID(int=2), "CBC: RDW", 3.0, "%", datetime(2024, 3, 1, 8, 30, 0, 123_000, UTC)),
    ]
    assert await position(pool) == 2
    ledger = await pool.fetchrow("SELECT * FROM ingest.load")
    assert ledger is not None
    assert (ledger["id"], ledger["source"], ledger["scope"]) == (load_id, "records", "lab_results/3")
    assert ledger["counts"][NAME] == DatasetCounts(staged=2, inserted=2).model_dump()
    assert ledger["report"] == {"records": 2, "next_offset": 2}


async def test_an_activitys_batches_add_up_in_one_row_of_the_ledger(pool: Pool) -> None:
    stream = Drained(pool)
    batch = await stream.batch([Rec(0, encoded(lab_result(1)))])
    drain = await stream.load(batch)
    await stream.load(await stream.batch([Rec(1, encoded(lab_result(2))), Rec(2, b"{}")]), drain)

    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == 1
    assert (
        await pool.fetchval("SELECT counts -> $1 FROM ingest.load", NAME)
        == DatasetCounts(staged=3, rejected=1, inserted=2).model_dump()
    )


async def test_a_batch_that_is_loaded_again_is_stale_and_changes_nothing(pool: Pool) -> None:
    stream = Drained(pool)
    batch = await stream.batch([Rec(0, encoded(lab_result(1)))])
    await stream.load(batch)
    with pytest.raises(BatchStale):
        await stream.load(batch)
    assert await position(pool) == 1
    assert await pool.fetchval("SELECT counts -> $1 ->> 'staged' FROM ingest.load", NAME) == "1"


async def test_of_two_attempts_at_once_one_commits(pool: Pool) -> None:
    stream = Drained(pool)
    batch = await stream.batch([Rec(number, encoded(lab_result(number))) for number in range(300)])
    results = await asyncio.gather(*(stream.load(batch) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(result, BatchStale) for result in results) == 3, results
    assert len(await stored(pool)) == 300
    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == 1


async def test_an_attempt_that_froze_after_its_merge_commits_nothing_once_another_has_gone_on(pool: Pool) -> None:
    stream = Drained(pool)
    batch = await stream.batch([Rec(0, encoded(lab_result(1, lab_value=1)))])
    merged, thawed = asyncio.Event(), asyncio.Event()

    async def zombie() -> None:
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '1s'")
            await connection.execute("UPDATE ingest.stream_offset SET next_offset = 1")
            merged.set()
            await thawed.wait()
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
                await transaction.commit()

    frozen_one = asyncio.create_task(zombie())
    await merged.wait()
    await stream.load(batch)  # waits for the frozen one's row until Postgres has ended that session
    thawed.set()
    await frozen_one
    assert await stored(pool) == [(1.0,)]
    assert await position(pool) == 1


async def test_a_drain_that_does_not_know_of_a_rewind_cannot_commit(pool: Pool) -> None:
    stream = Drained(pool)
    await stream.load(await stream.batch([Rec(0, encoded(lab_result(1)))]))
    late = await stream.batch([Rec(1, encoded(lab_result(2)))])
    await Offsets(pool).rewind("lab_results", topic_id=TOPIC_ID, to={0: 1})
    with pytest.raises(BatchStale):
        await stream.load(late)


async def test_a_drain_that_was_overtaken_cannot_stop_the_partition(pool: Pool) -> None:
    stream, offsets = Drained(pool), Offsets(pool)
    batch = await stream.batch([Rec(0, encoded(lab_result(1)))])
    behind = await offsets.find("lab_results", 0)
    assert behind is not None
    await stream.load(batch)
    assert not await offsets.stop(behind, "retention has passed")
    now = await offsets.find("lab_results", 0)
    assert now is not None
    assert now.state is StreamState.DRAINING
    assert await offsets.stop(now, "retention has passed")


async def test_a_paused_partition_takes_no_batch_and_a_resumed_one_does(pool: Pool) -> None:
    stream = Drained(pool)
    batch = await stream.batch([Rec(0, encoded(lab_result(1)))])
    await Offsets(pool).pause("lab_results", paused=True)
    with pytest.raises(BatchStale):
        await stream.load(batch)
    await Offsets(pool).pause("lab_results", paused=False)
    await stream.load(batch)


async def test_a_new_partition_of_a_paused_topic_is_paused_too(pool: Pool) -> None:
    await Drained(pool).place()
    await Offsets(pool).pause("lab_results", paused=True)
    found = await Offsets(pool).begin("lab_results", 7, topic_id=TOPIC_ID, beginning=5)
    assert (found.paused, found.next_offset) == (True, 5)


async def test_a_replay_leaves_the_same_rows_neither_refused_as_done_nor_doubled(pool: Pool) -> None:
    stream = Drained(pool)
    records = [Rec(number, encoded(lab_result(number % 3, lab_value=number))) for number in range(6)] + [Rec(6, b"no")]
    await stream.load(await stream.batch(records))
    before, refused = await stored(pool), await stream.rejections()
    await Offsets(pool).rewind("lab_results", topic_id=TOPIC_ID, to={0: 0})
    drain = await stream.load(await stream.batch(records))

    assert await stored(pool) == before == [(3.0,), (4.0,), (5.0,)]
    assert drain.counts[NAME] == DatasetCounts(staged=7, rejected=1, repeated=3, updated=3)
    assert [row["offset"] for row in await stream.rejections()] == [row["offset"] for row in refused] == [6]
    assert {row["load_id"] for row in await stream.rejections()} == {drain.identity.load_id}


async def test_a_replay_of_a_part_does_not_bring_back_what_later_records_changed(pool: Pool) -> None:
    stream = Drained(pool)
    old = Rec(0, encoded(lab_result(1, lab_value=1)), timestamp=1_000)
    await stream.load(await stream.batch([old, Rec(1, encoded(lab_result(1, lab_value=2)), timestamp=2_000)]))
    await Offsets(pool).rewind("lab_results", topic_id=TOPIC_ID, to={0: 0})
    await stream.load(await stream.batch([old]))
    assert await stored(pool) == [(2.0,)]


async def test_the_same_key_twice_in_a_batch_keeps_the_last(pool: Pool) -> None:
    stream = Drained(pool)
    drain = await stream.load(
        await stream.batch([Rec(number, encoded(lab_result(1, lab_value=number))) for number in range(5)])
    )
    assert await stored(pool) == [(4.0,)]
    assert drain.counts[NAME] == DatasetCounts(staged=5, repeated=4, inserted=1)


async def test_what_is_no_record_is_refused_with_its_place_and_stops_nothing(pool: Pool) -> None:
    stream = Drained(pool, partition=2)
    large = encoded(lab_result(lab_units="x" * (LARGEST + 1)))
    values = [None, b"no json", encoded(lab_result(admission_id=41.9)), large, encoded(lab_result(1))]
    await stream.load(await stream.batch(Rec(10 + number, value) for number, value in enumerate(values)))

    refused = await stream.rejections()
    assert [(row["topic"], row["partition"], row["offset"], row["raw"]) for row in refused] == [
        ("lab_results", 2, 10, None),
        ("lab_results", 2, 11, b"no json"),
        ("lab_results", 2, 12, values[2]),
        ("lab_results", 2, 13, None),
    ]
    assert [row["reasons"] for row in refused] == [
        [TOMBSTONE],
        ["not JSON"],
        ["admission_id: is not a whole number from 1 to 2147483647"],
        [f"larger than {LARGEST} bytes"],
    ]
    assert {(row["dataset"], row["source"], row["object_key"], row["line"]) for row in refused} == {
        (NAME, "records", None, None)
    }
    assert await position(pool) == 15
    assert len(await stored(pool)) == 1


async def test_a_batch_without_records_moves_the_offset_beyond_what_holds_none(pool: Pool) -> None:
    stream = Drained(pool)
    await stream.load(await stream.batch([], following=9))
    assert await position(pool) == 9


async def test_the_connection_keeps_its_staged_table_and_begins_each_batch_with_an_empty_one(pool: Pool) -> None:
    stream = Drained(pool)
    for number in range(3):
        await stream.load(await stream.batch([Rec(number, encoded(lab_result(number)))]))
    assert len(await stored(pool)) == 3
    kept = await pool.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'staged records.lab_result'")
    connections = len(pool._holders)
    assert 1 <= kept <= connections


async def test_a_row_that_the_table_cannot_hold_refuses_its_batch_and_leaves_nothing(pool: Pool) -> None:
    await pool.execute("ALTER TABLE records.lab_result ADD CONSTRAINT sane CHECK (lab_value < 100)")
    stream = Drained(pool)
    batch = await stream.batch([Rec(0, encoded(lab_result(1))), Rec(1, encoded(lab_result(2, lab_value=100)))])
    with pytest.raises(BatchRefused, match="sane"):
        await stream.load(batch)
    assert await stored(pool) == []
    assert await position(pool) == 0
