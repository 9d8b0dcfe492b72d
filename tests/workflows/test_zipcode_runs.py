"""The run of a zip code's import: joined, cancelled, terminated, in many histories, and no faster than it may be."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.abandoned import AbandonedRuns
from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.sources.fhir.errors import InvalidZipcode, UnknownServer
from library.warehouse.pool import Pool
from service.sources.fhir.starts import import_zipcode
from service.starts import run_id
from tests.faults.harness import until_async
from tests.support.imports import imports
from workflows.policies import WORKFLOWS


async def test_two_starts_join_one_run(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.2}) as importing:
        first = await importing.start("02114")
        second = await importing.start("02114")
        assert run_id(first) == run_id(second)
        await importing.closed(first)
        assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 1


async def test_a_cancelled_import_keeps_what_it_has_loaded_and_the_next_one_brings_the_rest(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.1}) as importing:
        handle = await importing.start("02302")
        await until_async(lambda: pool.fetchval("SELECT count(*) FROM fhir.observation"))
        await handle.cancel()
        run = await importing.closed(handle)
        assert (run.state, run.error) == (RunState.CANCELLED, None)
        kept = await pool.fetchval("SELECT count(*) FROM fhir.observation")
        assert 0 < kept < 423
        assert run.counts["fhir.observation"]["inserted"] == kept  # type: ignore[index,call-overload]
        await importing.starter.client.execute_workflow(
            "upkeep",
            id=f"upkeep-{run.id}",
            task_queue=importing.starter.settings.worker.queue_prefix + WORKFLOWS,
        )
        await importing.assert_nothing_left()
        assert (await importing.zipcode("02302")).state is RunState.COMPLETED
        await importing.assert_equal("02302")


async def test_an_import_goes_on_in_new_histories_and_in_parts_and_stays_one_run(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    tiny: dict[str, Any] = {"page_size": 50, "batch": 1, "history": 30, "large_zipcode": 2, "part": 2, "window": 2}
    async with imports(settings, pool, store, **tiny) as importing:
        patients = importing.sandbox.resources("Patient")
        importing.sandbox.put(*(each | {"address": [{"postalCode": "02139"}]} for each in patients))
        handle = await importing.start("02139")
        run = await importing.closed(handle)
        assert (run.state, run.error) == (RunState.COMPLETED, None)
        assert run.id == run_id(handle)
        await importing.assert_equal("02139")
        assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 1
        assert run.report["patients"] == 9
        assert run.counts["fhir.observation"]["inserted"] == 1541  # type: ignore[index,call-overload]
        histories = await importing.histories(run)
        assert len(histories) > 10
        assert max(len(history.events) for history in histories) < 200
        assert importing.sandbox.calls()["most_at_once_by_kind"]["page Observation"] <= 2


async def test_the_window_is_kept(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.2}, page_size=100, batch=1, window=3) as importing:
        patients = importing.sandbox.resources("Patient")
        importing.sandbox.put(*(each | {"address": [{"postalCode": "02139"}]} for each in patients))
        await importing.zipcode("02139")
        assert importing.sandbox.calls()["most_at_once"] == 3


async def test_what_is_no_zip_code_and_no_server_is_not_started(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        for wrong in ("2139", "02139&_count=1", "0213 9", "", "02139\n"):
            with pytest.raises(InvalidZipcode):
                await import_zipcode(importing.starter, wrong)
        with pytest.raises(UnknownServer):
            await import_zipcode(importing.starter, "02139", server="nowhere")
        assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 0


async def test_a_terminated_import_is_closed_as_abandoned_once_and_what_it_had_loaded_stays(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.1}) as importing:
        handle = await importing.start("02302")
        await until_async(lambda: pool.fetchval("SELECT count(*) FROM fhir.observation"))
        await handle.terminate()
        abandoned, soon = AbandonedRuns(pool, importing.runs, importing.client), datetime.now(UTC) + timedelta(1)
        assert await abandoned.close(soon, forgotten=True) == 1
        run = await importing.closed(handle)
        assert run.error is not None
        assert (run.state, run.error.type) == (RunState.FAILED, "Abandoned")
        assert "rows that were loaded before stay" in run.error.message
        assert run.counts["fhir.observation"]["inserted"] > 0  # type: ignore[index,call-overload,operator]
        assert await abandoned.close(soon, forgotten=True) == 0


async def test_the_rate_of_calls_is_kept_over_all_workers(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, page_size=5, rate=4.0) as importing:
        began = time.monotonic()
        await importing.zipcode("02114")
        calls = importing.sandbox.calls()["count"]
        assert calls > 17
        assert time.monotonic() - began > (calls - 4) / 4.0  # a few may come at once
