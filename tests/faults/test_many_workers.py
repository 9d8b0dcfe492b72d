"""Several workers at once share the work."""

import asyncio

import pytest

from library.contracts.loads import LoadOutcome
from library.contracts.runs import RunState
from tests.faults.harness import KH03, Clean, Ward, Workers

pytestmark = pytest.mark.faults


async def test_three_workers_share_all_workbooks_and_each_is_loaded_once(
    workers: Workers, ward: Ward, clean: Clean
) -> None:
    three = await asyncio.gather(*(workers.start() for _ in range(3)))
    handles = await asyncio.gather(*(ward.start(path) for path in KH03))

    runs = await asyncio.gather(*(ward.closed(handle) for handle in handles))

    assert {(run.state, run.result) for run in runs} == {(RunState.COMPLETED, LoadOutcome.LOADED)}
    assert await ward.all_figures() == clean.together
    for path in KH03:
        await ward.assert_loaded_once(path, clean.of[path])
    await ward.assert_nothing_left()
    assert all("loaded" in worker.ended_loads() for worker in three)
