"""What `wardflow runs show` tells of a run's steps."""

from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.cli.history import steps_of
from tests.faults.harness import until_async
from tests.support.imports import imports
from tests.support.runs import NHS, Workbooks


async def test_all_links_of_a_run_that_continued_as_new_are_told_in_their_order(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, history=30, page_size=60, batch=1) as importing:
        run = await importing.zipcode("01906")
        told = [step["step"] for step in await steps_of(importing.client, run)]
    assert told.count("input") > 1
    assert told[0] == "input"
    assert told[-1] == "result"
    assert told.index("plan_searches →") < told.index("fetch_observation_page ←")


async def test_a_step_that_failed_says_why(sent: Workbooks) -> None:
    run = await sent.ingest(NHS / "not-kh03" / "AE-weekly-week-ending-2010-11-07.xls")
    (failed,) = [step for step in await steps_of(sent.client, run) if step["step"] == "stage_workbook ✗"]
    assert run.error is not None
    assert failed["payload"] == run.error.model_dump()


async def test_a_step_that_will_be_tried_again_says_why_it_failed_last(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, faults={"unavailable": 1.0, "retry_after": 30.0}) as importing:
        handle = await importing.start("01906")
        run = await importing.runs.get(handle.first_execution_run_id or "")
        assert run is not None
        assert run.state is RunState.RUNNING

        async def tried() -> bool:
            last = (await steps_of(importing.client, run))[-1]
            return last["step"] == "fetch_patient_page …" and last["payload"]["last_failure"] is not None

        await until_async(tried)
        last = (await steps_of(importing.client, run))[-1]
        await handle.terminate()
    assert last["payload"]["last_failure"]["type"] == "ServerBusy"
    assert "503" in last["payload"]["last_failure"]["message"]
