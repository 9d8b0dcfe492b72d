"""Workers end, start and go on as their servers and their operators come and go."""

import asyncio
import time
from pathlib import Path

import pytest

from config.settings import Settings
from library.contracts.loads import LoadOutcome
from library.contracts.runs import RunState
from tests.faults.harness import Clean, Ward, WorkerProcess, Workers, environment_of, until, until_async
from tests.faults.proxy import Door
from tests.faults.worker import Orders, start_worker
from tests.support.runs import NHS
from workflows.policies import COMPUTE, IO, LOAD, WORKFLOWS

pytestmark = pytest.mark.faults

WORKBOOK = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q2-2016-17-Final-98123.xlsx"
NOWHERE = "127.0.0.1:1"
ENDING = 10.0
"""Seconds, beside the graceful time, that a worker may take to end on a busy machine."""


async def test_a_load_that_finishes_within_the_graceful_time_is_not_lost_when_its_worker_is_told_to_end(
    workers: Workers, ward: Ward, clean: Clean
) -> None:
    first, _ = await asyncio.gather(
        workers.start(queues=(LOAD,), stops=("copy", "wait"), worker__graceful_shutdown="20"),
        workers.start(queues=(WORKFLOWS, IO, COMPUTE)),
    )
    handle = await ward.start(WORKBOOK)
    await first.reached()
    first.process.terminate()
    await first.is_ending()
    first.go()

    run = await ward.closed(handle)

    assert (run.state, run.result) == (RunState.COMPLETED, LoadOutcome.LOADED), run.error
    assert await ward.attempts(handle) == 1
    await ward.assert_loaded_once(WORKBOOK, clean.of[WORKBOOK])
    assert await first.ended() == 0


async def test_a_load_that_needs_longer_than_the_graceful_time_is_given_up_and_done_once_by_another_worker(
    workers: Workers, ward: Ward, clean: Clean
) -> None:
    first = await workers.start(stops=("copy", "wait"))
    handle = await ward.start(WORKBOOK)
    await first.reached()
    told = time.monotonic()
    first.process.terminate()

    assert await first.ended() == 0
    assert time.monotonic() - told < ward.settings.worker.graceful_shutdown + ENDING
    assert await first.loads(1) == ["CancelledError"]
    await ward.assert_nothing_loaded()
    await workers.start()
    run = await ward.closed(handle)
    assert (run.state, run.result) == (RunState.COMPLETED, LoadOutcome.LOADED), run.error
    assert await ward.attempts(handle) == 2
    await ward.assert_loaded_once(WORKBOOK, clean.of[WORKBOOK])
    await ward.assert_nothing_left()


async def test_a_worker_with_nothing_to_do_ends_at_once(workers: Workers) -> None:
    worker = await workers.start(worker__graceful_shutdown="60")
    worker.process.terminate()
    assert await worker.ended(seconds=ENDING) == 0


@pytest.mark.parametrize(
    ("away", "sentence"),
    [
        ({"WARDFLOW_POSTGRES__DSN": f"postgresql://nobody@{NOWHERE}/none"}, "Postgres does not answer"),
        ({"WARDFLOW_TEMPORAL__ADDRESS": NOWHERE}, f"The Temporal service at {NOWHERE} does not answer"),
    ],
    ids=["postgres", "temporal"],
)
async def test_a_worker_whose_server_is_away_at_the_start_says_so_and_ends(
    settings: Settings, tmp_path: Path, away: dict[str, str], sentence: str
) -> None:
    log = tmp_path / "log"
    process = start_worker(Orders(environment_of(settings) | away, log))
    await until(lambda: not process.is_alive())
    said = log.read_text()
    assert process.exitcode == 4, said
    assert sentence in said
    assert "wardflow up" in said
    assert "Traceback" not in said
    process.close()


async def test_a_worker_whose_store_is_away_at_the_start_waits_and_says_that_it_is_not_ready(workers: Workers) -> None:
    worker = await workers.start(s3__url=f"http://{NOWHERE}")
    status, said = await worker.health()
    assert (status, said["state"]) == (503, "not ready")
    assert said["parts"] == {
        "postgres": "ok",
        "temporal": "ok",
        "worker": "ok",
        "s3": "unavailable: StoreUnavailable",
        "kafka": "unavailable: ConfigurationError",  # these workers know of none
    }


async def test_a_worker_outlives_its_temporal_and_reports_what_it_did_meanwhile(
    settings: Settings, workers: Workers, ward: Ward, clean: Clean
) -> None:
    async with Door(settings.temporal.address or "") as door:
        worker = await workers.start(stops=("copy", "wait"), temporal__address=door.address)
        handle = await ward.start(WORKBOOK)
        await worker.reached()
        await door.shut()
        worker.go()
        await worker.loads(1)
        await until_async(lambda: temporal_is_away(worker))
        await door.open()

        run = await ward.closed(handle)

        assert (run.state, run.result) == (RunState.COMPLETED, LoadOutcome.LOADED), run.error
        await ward.assert_loaded_once(WORKBOOK, clean.of[WORKBOOK])
        assert (await worker.health())[0] == 200
        worker.process.kill()  # while the door is open: it has nothing to wait for


async def temporal_is_away(worker: WorkerProcess) -> bool:
    status, said = await worker.health()
    return status == 503 and said["parts"]["temporal"] != "ok" and said["parts"]["worker"] == "ok"


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_worker_whose_temporal_is_away_ends_in_time_when_it_is_told_to(
    settings: Settings, workers: Workers, how: str
) -> None:
    async with Door(settings.temporal.address or "") as door:
        worker = await workers.start(temporal__address=door.address)
        if how == "refuses":
            await door.shut()
        else:
            door.jam()
        worker.process.terminate()
        assert await worker.ended(settings.worker.graceful_shutdown + ENDING) == 0
