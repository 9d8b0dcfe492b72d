"""A failed run whose workflow is reset in Temporal, or repeated, is the same run: it runs again, and ends again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from config.settings import Settings
from library.contracts.runs import Run, RunFinished, RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.reloads import reload_older
from service.repeats import NothingToRepeat, NotRepeatable, RunSuperseded, repeat_run
from service.sources.beds.starts import ingest_workbook, land_workbook
from service.sources.fhir.starts import import_fhir, import_fhir_from, land_fhir
from service.starts import RunHandle
from tests.faults.harness import environment_of, until_async
from tests.support.commands import Commands
from tests.support.imports import Imports, imports
from tests.support.runs import NHS, missing, workbooks
from tests.support.sandbox import SAMPLE
from tests.workflows.test_reload_older import age
from workflows.policies import WORKFLOWS

WORKBOOK = NHS / "kh03" / "1920-Q3-Beds-Open-Overnight-Web_File-Final-DE5WC.xlsx"
ZIPCODE = "02302"


@dataclass(frozen=True)
class Work:
    """A workflow of a run, the table that it loads last, and what has to be done before."""

    start: Callable[[Imports], Awaitable[RunHandle]]
    table: str
    rows: int
    prepare: Callable[[Imports], Awaitable[None]] | None = None


async def _workbook(importing: Imports) -> RunHandle:
    landed = await land_workbook(importing.starter, WORKBOOK)
    return await ingest_workbook(importing.starter, landed, subject=WORKBOOK.name)


async def _file(importing: Imports) -> RunHandle:
    landed = await land_fhir(importing.starter, SAMPLE / "Observation.ndjson")
    return await import_fhir(importing.starter, landed, subject="Observation.ndjson")


async def _loaded_by_an_older_reader(importing: Imports) -> None:
    await importing.closed(await _workbook(importing))
    await age(importing.pool, {"beds.occupancy": "available = available + 1"})


WORKS = {
    "workbook": Work(_workbook, "beds.occupancy", 1005),
    "file": Work(_file, "fhir.observation", 1541),
    "export": Work(lambda it: import_fhir_from(it.starter, f"{it.sandbox.url}/$export"), "fhir.observation", 1541),
    "zip code": Work(lambda it: it.start(ZIPCODE), "fhir.observation", 423),
    "reload": Work(
        lambda it: reload_older(it.starter, "beds"), "beds.occupancy", 1005, prepare=_loaded_by_an_older_reader
    ),
}
EACH = pytest.mark.parametrize("work", WORKS.values(), ids=WORKS.keys())


@pytest.fixture
async def importing(settings: Settings, pool: Pool, store: ObjectStore) -> AsyncIterator[Imports]:
    async with imports(settings, pool, store) as made:
        yield made


async def failed(importing: Imports, work: Work) -> Run:
    if work.prepare is not None:
        await work.prepare(importing)
    async with missing(importing.pool, work.table):
        run = await importing.closed(await work.start(importing))
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert (run.error.type, run.executions) == ("LoadRejected", [run.id])
    return run


async def step_of(importing: Imports, run: Run, step: str) -> int:
    """The end of the workflow task that scheduled the first activity, the first child, one that failed, or a name."""
    history = await importing.client.get_workflow_handle(run.workflow_id, run_id=run.id).fetch_history()
    scheduled = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled[event.event_id] = event.activity_task_scheduled_event_attributes
            if step in ("first", scheduled[event.event_id].activity_type.name):
                return scheduled[event.event_id].workflow_task_completed_event_id
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED and step == "failed":
            number = event.activity_task_failed_event_attributes.scheduled_event_id
            return scheduled[number].workflow_task_completed_event_id
        if event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED and step == "child":
            return event.start_child_workflow_execution_initiated_event_attributes.workflow_task_completed_event_id
    raise LookupError(step)


async def reset(importing: Imports, run: Run, to: int) -> str:
    """Reset the workflow as the Web UI does."""
    answer = await importing.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=importing.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=run.workflow_id, run_id=run.id),
            reason="by hand",
            workflow_task_finish_event_id=to,
            request_id=str(uuid4()),
        )
    )
    return answer.run_id


async def state_of(importing: Imports, run: Run) -> RunState:
    found = await importing.runs.get(run.id)
    assert found is not None
    return found.state


async def is_completed(importing: Imports, run: Run, work: Work, *executions: str) -> Run:
    async def is_closed() -> bool:
        return await state_of(importing, run) is not RunState.RUNNING

    await until_async(is_closed)
    found = await importing.runs.get(run.id)
    assert found is not None
    assert (found.state, found.result, found.error) == (RunState.COMPLETED, "loaded", None)
    assert found.executions == [run.id, *executions]
    assert await importing.pool.fetchval(f"SELECT count(*) FROM {work.table}") == work.rows
    return found


def unserved(settings: Settings) -> Settings:
    """The same with queues of their own, which no worker serves yet."""
    prefix = f"{settings.worker.queue_prefix}later-"
    return settings.model_copy(update={"worker": settings.worker.model_copy(update={"queue_prefix": prefix})})


async def upkeep(importing: Imports) -> None:
    queue = importing.starter.settings.worker.queue_prefix + WORKFLOWS
    await importing.client.execute_workflow("upkeep", id=f"upkeep-{uuid4()}", task_queue=queue)


@EACH
@pytest.mark.parametrize("step", ["first", "failed"])
async def test_a_failed_run_that_is_reset_runs_again_and_shows_how_it_ends(
    importing: Imports, work: Work, step: str
) -> None:
    run = await failed(importing, work)
    await upkeep(importing)
    async with importing.pool.acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {work.table} IN EXCLUSIVE MODE")
        execution = await reset(importing, run, await step_of(importing, run, step))

        async def runs_again() -> bool:
            return await state_of(importing, run) is RunState.RUNNING

        await until_async(runs_again)
    await is_completed(importing, run, work, execution)


@pytest.mark.parametrize("step", ["first", "child"])
async def test_a_large_zip_code_that_is_reset_runs_its_children_again(
    settings: Settings, pool: Pool, store: ObjectStore, step: str
) -> None:
    work = Work(lambda it: it.start("02139"), "fhir.observation", 1541)
    async with imports(settings, pool, store, batch=1, large_zipcode=2, part=2, window=2) as importing:
        patients = importing.sandbox.resources("Patient")
        importing.sandbox.put(*(each | {"address": [{"postalCode": "02139"}]} for each in patients))
        run = await failed(importing, work)
        execution = await reset(importing, run, await step_of(importing, run, step))

        async def is_opened() -> bool:
            found = await importing.runs.get(run.id)
            return found is not None and execution in found.executions

        await until_async(is_opened)
        await is_completed(importing, run, work, execution)


@EACH
async def test_a_failed_run_can_be_repeated_and_two_repeats_at_once_are_one(importing: Imports, work: Work) -> None:
    run = await failed(importing, work)
    await asyncio.gather(*(repeat_run(importing.client, importing.runs, run) for _ in range(2)))
    newest = await importing.client.get_workflow_handle(run.workflow_id).describe()
    found = await is_completed(importing, run, work, newest.run_id)
    with pytest.raises(NothingToRepeat):
        await repeat_run(importing.client, importing.runs, found)


async def test_a_cancelled_run_can_be_repeated_and_cancelled_again(importing: Imports) -> None:
    work = WORKS["workbook"]
    async with importing.pool.acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {work.table} IN EXCLUSIVE MODE")
        handle = await work.start(importing)

        async def is_under_way() -> bool:
            return bool(await importing.pool.fetchval("SELECT phase = 'load' FROM ingest.run"))

        await until_async(is_under_way)
        await handle.cancel()
        run = await importing.closed(handle)
        assert run.state is RunState.CANCELLED
        await repeat_run(importing.client, importing.runs, run)
        assert await state_of(importing, run) is RunState.RUNNING
        await until_async(is_under_way)
        repeated = importing.client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.id)
        await repeated.cancel()

        async def is_cancelled() -> bool:
            return await state_of(importing, run) is RunState.CANCELLED

        await until_async(is_cancelled)
    await repeat_run(importing.client, importing.runs, run)
    await until_async(lambda: importing.pool.fetchval("SELECT count(*) FROM ingest.run WHERE state = 'completed'"))


async def test_a_run_that_was_cancelled_before_its_first_step_is_not_repeated(
    settings: Settings, pool: Pool, store: ObjectStore, importing: Imports
) -> None:
    starter = replace(importing.starter, settings=unserved(settings))
    elsewhere = replace(importing, starter=starter)
    handle = await WORKS["workbook"].start(elsewhere)
    await handle.cancel()
    async with workbooks(unserved(settings), pool, store):
        run = await importing.closed(handle)
    assert run.state is RunState.CANCELLED
    with pytest.raises(NotRepeatable, match="before its first step"):
        await repeat_run(importing.client, importing.runs, run)


async def test_a_search_of_an_import_whose_patients_are_no_longer_stored_is_refused(importing: Imports) -> None:
    work = WORKS["zip code"]
    run = await failed(importing, work)
    await importing.pool.execute("DELETE FROM fhir.import_patient")
    await reset(importing, run, await step_of(importing, run, "fetch_observation_page"))

    async def error() -> str | None:
        found = await importing.runs.get(run.id)
        return found.error.type if found and found.error else None

    async def is_refused() -> bool:
        return await error() == "PlanRemoved"

    await until_async(is_refused)
    await repeat_run(importing.client, importing.runs, run)
    await until_async(lambda: importing.pool.fetchval("SELECT count(*) FROM ingest.run WHERE state = 'completed'"))
    await importing.assert_equal(ZIPCODE)


async def test_a_run_whose_work_was_started_again_is_not_repeated(importing: Imports) -> None:
    work = WORKS["workbook"]
    older = await failed(importing, work)
    newer = await failed(importing, work)
    with pytest.raises(RunSuperseded, match=newer.id):
        await repeat_run(importing.client, importing.runs, older)


async def test_a_reset_of_an_older_run_of_the_same_work_leaves_the_newer_one_alone(importing: Imports) -> None:
    work = WORKS["zip code"]
    older = await failed(importing, work)
    newer = await importing.closed(await work.start(importing))
    assert newer.state is RunState.COMPLETED
    step = await step_of(importing, older, "failed")
    async with importing.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE fhir.observation IN EXCLUSIVE MODE")
        execution = await reset(importing, older, step)

        async def runs_again() -> bool:
            return await state_of(importing, older) is RunState.RUNNING

        await until_async(runs_again)
        await upkeep(importing)
    found = await is_completed(importing, older, work, execution)
    assert found.id == older.id
    await upkeep(importing)
    assert await importing.runs.get(newer.id) == newer


async def test_a_reload_that_is_run_again_counts_the_objects_that_it_loaded_before(importing: Imports) -> None:
    await importing.closed(await WORKS["workbook"].start(importing))
    await importing.pool.execute(
        "UPDATE ingest.load SET reader_version = 1, id = gen_random_uuid(), identity = 'older'"
    )
    run = await importing.closed(await reload_older(importing.starter, "beds"))
    assert (run.result, run.report["objects"]) == ("loaded", 1)
    execution = await reset(importing, run, await step_of(importing, run, "first"))
    known = "SELECT $1 = ANY (executions) FROM ingest.run WHERE id = $2"
    await until_async(lambda: importing.pool.fetchval(known, execution, run.id))
    found = await is_completed(importing, run, WORKS["workbook"], execution)
    assert (found.report, found.counts) == (run.report, run.counts)


async def test_a_run_that_temporal_has_forgotten_is_not_repeated(importing: Imports) -> None:
    run = await failed(importing, WORKS["workbook"])
    await importing.pool.execute("UPDATE ingest.run SET workflow_id = 'workbook-forgotten'")
    with pytest.raises(NotRepeatable):
        await repeat_run(importing.client, importing.runs, run)


async def test_what_an_older_execution_says_late_changes_nothing(importing: Imports) -> None:
    run = await failed(importing, WORKS["workbook"])
    log = RunLog(importing.pool)
    await log.enter_execution(run.id, "second")
    await log.finish(RunFinished(run_id=run.id, state=RunState.CANCELLED), run.id)
    assert await state_of(importing, run) is RunState.RUNNING
    await log.finish(RunFinished(run_id=run.id, state=RunState.CANCELLED), "second")
    assert await state_of(importing, run) is RunState.CANCELLED


async def test_a_command_that_follows_a_run_follows_it_over_a_reset(importing: Imports, settings: Settings) -> None:
    work = WORKS["workbook"]
    async with importing.pool.acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {work.table} IN EXCLUSIVE MODE")
        commands = Commands(environment_of(settings))
        command = asyncio.create_task(commands.call("ingest", "workbook", str(WORKBOOK)))
        await until_async(lambda: importing.pool.fetchval("SELECT phase = 'load' FROM ingest.run"))
        (run,) = await importing.runs.find(importing.starter.settings.worker.queue_prefix)
        execution = await reset(importing, run, await step_of(importing, run, "first"))
    done = await command
    assert done.exit_code == 0, done.stderr
    await is_completed(importing, run, work, execution)
