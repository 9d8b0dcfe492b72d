"""Steps follow a merge in its transaction, with the keys that it changed; files and streams alike."""

import asyncio
from collections.abc import Iterable

import pytest
import pytest_asyncio

from library.contracts.errors import LoadInterrupted
from library.contracts.loads import LoadOutcome
from library.datasets.declaration import Dataset, Step
from library.datasets.strategies import ConcurrentUpsert
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from library.warehouse.steps import StepFailed
from tests.support.made_up_steps import (
    CATALOGUE,
    CLINIC,
    ROOM,
    SCHEMA,
    STAY,
    TOPIC,
    TOPICS,
    Stay,
    StayRow,
    gate_closed,
    heard,
    make_tables,
    rooms,
    stay,
    totals,
    until_waiting,
)
from tests.support.streams import Drained, Rec
from tests.support.warehouse import MadeUpSource


@pytest_asyncio.fixture
async def files(pool: Pool, store: ObjectStore) -> MadeUpSource:
    await make_tables(pool)
    return MadeUpSource(pool, store, CATALOGUE)


class Partition(Drained):
    """A partition of stays."""

    async def send(self, *records: bytes) -> None:
        _, first = await self.place()
        await self.load(await self.batch(Rec(first + at, record) for at, record in enumerate(records)))


@pytest_asyncio.fixture
async def stream(pool: Pool) -> Partition:
    await make_tables(pool)
    return partition_of(pool, 0)


def partition_of(pool: Pool, number: int) -> Partition:
    return Partition(pool, TOPIC, number, TOPICS, CATALOGUE)


async def agree(pool: Pool, dataset: Dataset) -> bool:
    kept, there = await totals(pool, dataset)
    return kept == there


async def test_a_file_hands_each_key_that_it_inserts_updates_or_deletes_to_the_steps_once(files: MadeUpSource) -> None:
    await files.load(rooms(files, "C1", 1, "north", "north", "south"))
    assert await heard(files.pool) == [("C1", 1, "inserted"), ("C1", 2, "inserted"), ("C1", 3, "inserted")]

    await files.load(rooms(files, "C1", 2, "north", "south", None, "east"))  # merged: the parent is stored
    assert await heard(files.pool) == [("C1", 2, "updated"), ("C1", 3, "deleted"), ("C1", 4, "inserted")]
    assert await totals(files.pool, ROOM) == ({"north": 1, "south": 1, "east": 1},) * 2


async def test_unchanged_rows_are_not_handed_on_and_run_no_step(files: MadeUpSource) -> None:
    await files.load(rooms(files, "C1", 1, "north"))
    await heard(files.pool)
    async with gate_closed(files.pool):  # a step would wait here
        result = await files.load(rooms(files, "C1", 2, "north"))
    assert result.counts[ROOM.name].unchanged == 1
    assert await heard(files.pool) == []


async def test_rows_of_an_older_file_are_not_handed_on(files: MadeUpSource) -> None:
    await files.load(rooms(files, "C1", 2, "north"))
    await heard(files.pool)
    await files.load(rooms(files, "C1", 1, "south", "south"))
    assert await heard(files.pool) == []


async def test_of_two_files_at_once_the_second_waits_until_the_steps_of_the_first_are_committed(
    files: MadeUpSource,
) -> None:
    async with gate_closed(files.pool):
        first = asyncio.create_task(files.load(rooms(files, "C1", 1, "north", "south")))
        await until_waiting(files.pool, "gate")
        second = asyncio.create_task(files.load(rooms(files, "C2", 1, "north")))
        await until_waiting(files.pool, "dataset", "gate")
    await asyncio.gather(first, second)
    assert await totals(files.pool, ROOM) == ({"north": 2, "south": 1},) * 2
    assert await heard(files.pool) == [("C1", 1, "inserted"), ("C1", 2, "inserted"), ("C2", 1, "inserted")]


async def test_many_files_at_once_leave_what_the_rows_say(files: MadeUpSource) -> None:
    def wards(clinic: int, version: int) -> Iterable[str | None]:
        return [("north", "south", "east", None)[(clinic * version + room) % 4] for room in range(40)]

    requests = [
        rooms(files, f"C{clinic}", version, *wards(clinic, version)) for version in (2, 1, 3) for clinic in (1, 2, 3)
    ]
    await asyncio.gather(*map(files.load, requests))
    assert await agree(files.pool, ROOM)


async def test_a_load_whose_steps_meet_another_repeats_them_and_hands_each_key_on_once(files: MadeUpSource) -> None:
    await files.pool.execute(f"SELECT setval('{SCHEMA}.meetings', 1, false)")
    await files.load(rooms(files, "C1", 1, "north", "south"))
    assert await files.pool.fetchval(f"SELECT last_value FROM {SCHEMA}.meetings") == 2
    assert await heard(files.pool) == [("C1", 1, "inserted"), ("C1", 2, "inserted")]


async def test_a_step_that_fails_leaves_nothing_and_says_which_it_was(files: MadeUpSource) -> None:
    await files.load(rooms(files, "C1", 1, "north"))
    await heard(files.pool)
    refused = rooms(files, "C1", 2, "south", "forbidden")
    with pytest.raises(StepFailed, match=r"'totals' of made_up_steps.room failed: SQLSTATE 23514, total_"):
        await files.load(refused)

    assert await heard(files.pool) == []
    assert await files.table(CLINIC) == [("C1", 1)]
    assert await totals(files.pool, ROOM) == ({"north": 1},) * 2
    assert await files.pool.fetchval("SELECT count(*) FROM ingest.load") == 1

    await files.pool.execute("ALTER TABLE made_up_steps.total DROP CONSTRAINT total_ward_check")
    assert (await files.load(refused)).outcome is LoadOutcome.LOADED
    assert await heard(files.pool) == [("C1", 1, "updated"), ("C1", 2, "inserted")]


async def test_a_load_that_is_ended_in_its_steps_leaves_nothing(files: MadeUpSource) -> None:
    request = rooms(files, "C1", 1, "north")
    async with gate_closed(files.pool):
        load = asyncio.create_task(files.load(request))
        await until_waiting(files.pool, "gate")
        await files.pool.fetch("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        with pytest.raises(LoadInterrupted):
            await load
    assert await files.table(ROOM) == []
    assert await totals(files.pool, ROOM) == ({}, {})

    await files.load(request)
    assert await heard(files.pool) == [("C1", 1, "inserted")]


async def test_a_batch_hands_each_key_that_it_inserts_or_updates_to_the_steps_once(stream: Partition) -> None:
    await stream.send(stay("P1", 1, "north"), stay("P1", 1, "south"), stay("P2", 1, "south"))
    assert await heard(stream.pool) == [("P1", 1, "inserted"), ("P2", 1, "inserted")]

    await stream.send(stay("P1", 1, "east"), stay("P3", 1, "south"))
    assert await heard(stream.pool) == [("P1", 1, "updated"), ("P3", 1, "inserted")]
    assert await totals(stream.pool, STAY) == ({"east": 1, "south": 2},) * 2


async def test_a_late_record_is_not_handed_on(stream: Partition) -> None:
    await stream.load(await stream.batch([Rec(0, stay("P1", 1, "north"))]))
    await heard(stream.pool)
    await stream.load(await stream.batch([Rec(1, stay("P1", 1, "south"), timestamp=1)]))
    assert await heard(stream.pool) == []
    assert await totals(stream.pool, STAY) == ({"north": 1},) * 2


async def test_of_two_batches_at_once_the_second_waits_until_the_steps_of_the_first_are_committed(
    stream: Partition,
) -> None:
    pool, other = stream.pool, partition_of(stream.pool, 1)
    async with gate_closed(pool):
        first = asyncio.create_task(stream.send(stay("P1", 1, "north")))
        await until_waiting(pool, "gate")
        second = asyncio.create_task(other.send(stay("P2", 1, "north")))
        await until_waiting(pool, "dataset", "gate")
    await asyncio.gather(first, second)
    assert await totals(pool, STAY) == ({"north": 2},) * 2


async def test_partitions_that_write_the_same_keys_at_once_leave_what_the_rows_say(stream: Partition) -> None:
    async def send(partition: Partition) -> None:
        for batch in range(5):
            await partition.send(
                *(
                    stay(f"P{number}", batch, ("north", "south", "east")[(number + partition.partition) % 3])
                    for number in range(50)
                )
            )

    await asyncio.gather(*(send(partition_of(stream.pool, number)) for number in range(4)))
    assert await agree(stream.pool, STAY)
    inserted = [key for *key, change in await heard(stream.pool) if change == "inserted"]
    assert len(inserted) == len({tuple(key) for key in inserted}) == 250


async def test_a_step_that_fails_keeps_the_offset_and_refuses_no_record(stream: Partition) -> None:
    with pytest.raises(StepFailed, match=r"'totals' of made_up_steps.stay"):
        await stream.send(stay("P1", 1, "north"), stay("P2", 1, "forbidden"))
    _, next_offset = await stream.place()
    assert next_offset == 0
    assert await stream.rejections() == []
    assert await heard(stream.pool) == []
    assert await totals(stream.pool, STAY) == ({}, {})


def test_a_dataset_with_steps_cannot_share_its_lock() -> None:
    with pytest.raises(ValueError, match="steps need the dataset's lock alone, and ConcurrentUpsert shares it"):
        Dataset(Stay, StayRow, ConcurrentUpsert(), steps=(Step("any", "SELECT 1"),))


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two steps have the same name"):
        Dataset(Stay, StayRow, STAY.strategy, steps=(Step("any", "SELECT 1"), Step("any", "SELECT 2")))
