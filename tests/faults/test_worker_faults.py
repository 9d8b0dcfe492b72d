"""A worker is killed, or freezes, at every step of a load: others wait no longer than the time-outs, and all is right.

Whoever waits, waits for a real process: each worker is one, with the product's own wiring and shorter time-outs.
"""

import asyncio
import time

import pytest

from library.contracts.loads import LoadOutcome
from library.contracts.runs import Run, RunState
from library.sources.beds.staging import workbook_identity
from service.sources.beds.starts import land_workbook
from service.starts import RunHandle
from tests.faults.harness import Clean, Ward, WorkerProcess, Workers, until_async
from tests.faults.worker import HEARTBEAT, Point
from tests.support.runs import NHS
from workflows.policies import COMPUTE, IO, LOAD, WORKFLOWS

pytestmark = pytest.mark.faults

HELD = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q2-2016-17-Final-98123.xlsx"
ANOTHER = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q1-2012-13-May-2013-Refresh-Final-47384.xls"
AFTERWARDS = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q3-2025-26.xlsx"

POINTS: tuple[Point, ...] = ("copy", "checked", "merged", "committed")


async def start_those_that_meet_it(ward: Ward) -> list[RunHandle]:
    """Loads that begin while another one is held.

    One of another workbook, whose specialties are mostly the same; one of the same workbook, whose keys all are.
    """
    return list(await asyncio.gather(ward.start(ANOTHER), ward.start(HELD, reload=1)))


async def seconds_until_its_session_is_gone(ward: Ward) -> float:
    """How long the first attempt of the held load keeps its session, and with it its locks."""
    began = time.monotonic()
    load_id = workbook_identity(await land_workbook(ward.starter, HELD)).load_id.hex

    async def gone() -> bool:
        return not [name for name in await ward.sessions() if name.split()[1] == load_id and name.endswith(" 1")]

    await until_async(gone)
    return time.monotonic() - began


async def assert_nobody_waited_long(ward: Ward, handles: list[RunHandle]) -> list[Run]:
    """The others were loaded at their first attempt, within what a load waits for a lock."""
    runs = await asyncio.gather(*(ward.closed(handle) for handle in handles))
    for handle, run in zip(handles, runs, strict=True):
        assert (run.state, run.result) == (RunState.COMPLETED, LoadOutcome.LOADED), run.error
        assert await ward.attempts(handle) == 1
        assert await ward.seconds_of_load(run) < ward.settings.postgres.lock_timeout
    return runs


async def assert_all_is_right(ward: Ward, clean: Clean, run: Run, *, loads: int = 1) -> None:
    assert (run.state, run.result, run.phase) == (RunState.COMPLETED, LoadOutcome.LOADED, "done"), run.error
    assert len(run.load_ids) == 1
    await ward.assert_loaded_once(HELD, clean.of[HELD], loads=loads)
    await ward.assert_loaded_once(ANOTHER, clean.of[ANOTHER])
    await ward.assert_specialties_named_by_the_newest()
    await ward.assert_nothing_left()
    assert ward.staged_objects(run) == []


async def health(worker: WorkerProcess) -> tuple[int, str]:
    status, said = await worker.health()
    return status, said["state"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_load_whose_worker_is_killed_is_finished_once_by_another_worker(
    workers: Workers, ward: Ward, clean: Clean, point: Point
) -> None:
    first = await workers.start(stops=(point, "die"))
    handle = await ward.start(HELD)
    assert await first.ended() == -9
    # No reload of it: the rows of that one would stand for those that were lost.
    another = await ward.start(ANOTHER)
    await workers.start()

    await assert_nobody_waited_long(ward, [another])
    run = await ward.closed(handle)

    await assert_all_is_right(ward, clean, run)
    assert await ward.attempts(handle) == 2


@pytest.mark.parametrize("point", POINTS)
async def test_a_load_whose_worker_freezes_is_finished_once_by_another_and_the_frozen_one_changes_nothing_later(
    workers: Workers, ward: Ward, clean: Clean, point: Point
) -> None:
    # One slot and no other queue: a frozen worker that still has polls open is handed tasks, and the test would wait
    # for their time-outs and not for those of the load.
    frozen, _ = await asyncio.gather(
        workers.start(queues=(LOAD,), stops=(point, "freeze"), worker__load_slots="1"),
        workers.start(queues=(WORKFLOWS, IO, COMPUTE)),
    )
    handle = await ward.start(HELD)
    await frozen.frozen()
    lived_on = asyncio.create_task(seconds_until_its_session_is_gone(ward))
    others = await start_those_that_meet_it(ward)
    second = await workers.start(queues=(LOAD,))

    await assert_nobody_waited_long(ward, others)
    run = await ward.closed(handle)
    await assert_all_is_right(ward, clean, run, loads=2)  # its own, and its reload's
    assert await ward.attempts(handle) == 2
    before = await ward.versions()
    if point != "copy":  # there no time-out of Postgres ends it, only the next attempt does, and it holds nothing
        # Sooner than the next attempt could begin: it was its own time-out that ended it.
        assert await lived_on < ward.settings.postgres.idle_in_transaction_timeout + 2.5 < HEARTBEAT.total_seconds() + 1
    await lived_on

    frozen.thaw()
    (ended,) = await frozen.loads(1)
    # Whoever is quicker tells it: Postgres, that its session has gone, or Temporal, that its attempt does not count.
    assert ended in ({LoadOutcome.LOADED} if point == "committed" else {"LoadInterrupted", "CancelledError"})
    assert await health(frozen) == (200, "ready")
    assert await ward.versions() == before

    second.process.terminate()
    assert await second.ended() == 0
    after = await ward.closed(await ward.start(AFTERWARDS))
    assert (after.state, after.result) == (RunState.COMPLETED, LoadOutcome.LOADED), after.error
    assert len(await frozen.loads(2)) == 2
    await ward.assert_loaded_once(AFTERWARDS, clean.of[AFTERWARDS])
    await ward.assert_nothing_left()
