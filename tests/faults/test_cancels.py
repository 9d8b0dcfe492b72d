"""A run is cancelled or terminated at every step: what was committed counts, and nothing else was done."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError

from activities.abandoned import AbandonedRuns
from library.contracts.loads import LoadOutcome
from library.contracts.runs import Run, RunState
from tests.faults.harness import Clean, Ward, Workers, until_async
from tests.support.runs import NHS
from workflows.policies import COMPUTE, IO, LOAD, WORKFLOWS

pytestmark = pytest.mark.faults

WORKBOOK = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q2-2016-17-Final-98123.xlsx"


async def assert_nothing_loaded(ward: Ward) -> None:
    await ward.assert_nothing_loaded()
    await ward.assert_nothing_left()


async def assert_loaded(ward: Ward, run: Run, clean: Clean) -> None:
    assert (run.state, run.result) == (RunState.COMPLETED, LoadOutcome.LOADED), run.error
    await ward.assert_loaded_once(WORKBOOK, clean.of[WORKBOOK])
    await ward.assert_nothing_left()


async def test_a_run_that_is_cancelled_while_it_stages_is_cancelled_and_loads_nothing(
    workers: Workers, ward: Ward
) -> None:
    worker = await workers.start(stops=("staging", "wait"))
    handle = await ward.start(WORKBOOK)
    await worker.reached()
    await handle.cancel()
    await ward.cancel_has_reached_the_activity(handle)
    worker.go()

    run = await ward.closed(handle)

    assert (run.state, run.load_ids) == (RunState.CANCELLED, [])
    await assert_nothing_loaded(ward)


async def test_a_run_that_is_cancelled_while_its_load_waits_for_another_is_cancelled_and_loads_nothing(
    workers: Workers, ward: Ward
) -> None:
    await workers.start()
    async with ward.pool.acquire() as another, another.transaction():
        await another.execute("SELECT pg_advisory_xact_lock(hashtextextended('dataset beds.edition', 0))")
        handle = await ward.start(WORKBOOK)
        await until_async(ward.somebody_waits_for_a_lock)
        await handle.cancel()

        run = await ward.closed(handle)

    assert (run.state, run.load_ids) == (RunState.CANCELLED, [])
    await assert_nothing_loaded(ward)


async def test_a_run_that_is_cancelled_while_its_copy_gets_nothing_is_cancelled_and_loads_nothing(
    workers: Workers, ward: Ward
) -> None:
    worker = await workers.start(stops=("copy", "wait"))
    handle = await ward.start(WORKBOOK)
    await worker.reached()
    await handle.cancel()

    run = await ward.closed(handle)

    assert run.state == RunState.CANCELLED, run.error
    worker.go()
    await worker.loads(1)
    await assert_nothing_loaded(ward)


async def test_a_run_that_is_cancelled_after_its_commit_is_completed(
    workers: Workers, ward: Ward, clean: Clean
) -> None:
    worker = await workers.start(stops=("committed", "wait"))
    handle = await ward.start(WORKBOOK)
    await worker.reached()
    await handle.cancel()
    await ward.cancel_has_reached_the_activity(handle)
    worker.go()

    await assert_loaded(ward, await ward.closed(handle), clean)


async def test_a_run_whose_worker_died_before_the_commit_can_be_cancelled(workers: Workers, ward: Ward) -> None:
    first = await workers.start(stops=("merged", "die"))
    handle = await ward.start(WORKBOOK)
    await first.ended()
    await handle.cancel()
    await workers.start()

    run = await ward.closed(handle)

    assert run.state == RunState.CANCELLED, run.error
    await assert_nothing_loaded(ward)


async def test_a_run_whose_worker_died_after_the_commit_is_completed_although_it_was_cancelled(
    workers: Workers, ward: Ward, clean: Clean
) -> None:
    first = await workers.start(stops=("committed", "die"))
    handle = await ward.start(WORKBOOK)
    await first.ended()
    await handle.cancel()
    await workers.start()

    await assert_loaded(ward, await ward.closed(handle), clean)


async def test_a_run_that_is_cancelled_while_its_worker_is_frozen_loads_nothing_when_that_goes_on(
    workers: Workers, ward: Ward
) -> None:
    frozen, _ = await asyncio.gather(
        workers.start(queues=(LOAD,), stops=("copy", "freeze"), worker__load_slots="1"),
        workers.start(queues=(WORKFLOWS, IO, COMPUTE)),
    )
    handle = await ward.start(WORKBOOK)
    await frozen.frozen()
    await handle.cancel()
    run = await ward.closed(handle)

    frozen.thaw()
    (ended,) = await frozen.loads(1)

    assert ended != LoadOutcome.LOADED, f"the run is {run.state}, and its rows are there"
    await assert_nothing_loaded(ward)


async def close_abandoned(ward: Ward) -> int:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    return await AbandonedRuns(ward.pool, ward.runs, ward.client).close(soon, forgotten=True)


async def test_a_terminated_run_is_closed_as_abandoned_by_the_upkeep(workers: Workers, ward: Ward) -> None:
    worker = await workers.start(stops=("copy", "wait"))
    handle = await ward.start(WORKBOOK)
    await worker.reached()
    assert await close_abandoned(ward) == 0  # it is still open
    await handle.terminate()

    assert await close_abandoned(ward) == 1

    run = await ward.run_of(handle)
    assert run.error is not None
    assert (run.state, run.error.type) == (RunState.FAILED, "Abandoned")
    assert await close_abandoned(ward) == 0
    await worker.loads(1)  # a heartbeat told the worker that the workflow has ended, so it gave the load up
    await assert_nothing_loaded(ward)


async def test_a_run_that_was_terminated_after_its_commit_is_closed_as_completed_by_the_upkeep(
    workers: Workers, ward: Ward, clean: Clean
) -> None:
    worker = await workers.start(stops=("committed", "wait"))
    handle = await ward.start(WORKBOOK)
    await worker.reached()
    await handle.terminate()
    with pytest.raises(WorkflowFailureError):
        await handle.result()

    assert await close_abandoned(ward) == 1

    run = await ward.run_of(handle)
    await assert_loaded(ward, run, clean)
    assert len(run.load_ids) == 1
