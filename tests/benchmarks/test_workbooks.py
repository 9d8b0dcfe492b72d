"""Workbooks from start to queryable: the embedded stack, a worker process, and nothing else to do."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC
from hashlib import sha256
from pathlib import Path
from statistics import median

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from config.sections import EncryptionSettings
from config.settings import Settings
from library.contracts.loads import LoadRequest
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunState
from library.objects.staged import upload
from library.objects.store import ObjectStore
from library.sources.beds.contracts import SOURCE
from library.sources.beds.staging import stage_in_child, workbook_identity
from library.warehouse.loader import Loader
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from library.warehouse.sessions import Attempt
from service.sources.beds.commands import ingest_workbooks
from service.sources.beds.starts import ingest_workbook, land_workbook
from service.starts import Starter, run_id
from service.temporal import connect
from service.worker.parts import CATALOGUE
from tests.benchmarks.measure import Report, Stopwatch, milliseconds, seconds
from tests.benchmarks.staged_readings import limits
from tests.support.histories import size_of
from tests.support.processes import worker_process
from tests.support.runs import NHS, Workbooks

pytestmark = pytest.mark.benchmark

WORKBOOKS = sorted((NHS / "kh03").iterdir())
WARM_UP = sorted((NHS / "superseded").iterdir())

PATIENCE = 120
"""Seconds after which a worker counts as stuck."""


def forget(store: ObjectStore, paths: Iterable[Path]) -> None:
    """Take workbooks out of the store, so that landing them is work again."""
    store.remove(f"landed/{SOURCE}/{sha256(path.read_bytes()).hexdigest()}" for path in paths)


async def test_all_workbooks_from_start_to_queryable(
    settings: Settings, pool: Pool, store: ObjectStore, report: Report
) -> None:
    async with worker_process(settings):
        async with asyncio.timeout(PATIENCE):
            await ingest_workbooks(settings, WARM_UP, quiet=True)
        forget(store, WORKBOOKS)
        took = Stopwatch()
        async with asyncio.timeout(PATIENCE):
            outcomes = await ingest_workbooks(settings, WORKBOOKS, quiet=True)
        in_all = took()
    assert {(outcome.state, outcome.result) for outcome in outcomes} == {(RunState.COMPLETED, "loaded")}
    assert await pool.fetchval("SELECT count(*) FROM beds.edition") == len(WORKBOOKS) + len(WARM_UP)

    await pool.execute("TRUNCATE beds.edition, beds.specialty, ingest.load CASCADE")
    bare = await read_and_load(settings, pool, store)
    share = max(0.0, 1 - bare / in_all)
    parts = f"reading, staging and loading alone, as much at once: {seconds(bare)}"
    report.enter("25 workbooks from start to queryable", seconds(in_all), parts=parts)
    report.enter("share of it that is neither reading nor loading", f"{share:.0%}")


async def read_and_load(settings: Settings, pool: Pool, store: ObjectStore) -> float:
    """Seconds for the same work with as many slots, by library calls alone: no workflow, no run, nothing landed."""
    landed = [
        await asyncio.to_thread(store.land, SOURCE, path, content_type="application/octet-stream") for path in WORKBOOKS
    ]
    loader = Loader(pool, store, CATALOGUE, limits(settings))
    reading = asyncio.Semaphore(settings.worker.compute_slots)
    loading = asyncio.Semaphore(settings.worker.load_slots)

    async def one(path: Path, workbook: ObjectRef) -> None:
        async with reading:
            request = await asyncio.to_thread(staged, path, workbook)
        async with loading:
            await loader.load(request, attempt=Attempt(workbook.sha256[:8]))

    def staged(path: Path, workbook: ObjectRef) -> LoadRequest:
        with tempfile.TemporaryDirectory() as name:
            read = stage_in_child(path, Path(name), workbook, settings.workbook)
            return upload(
                store,
                Path(name),
                read.rows,
                identity=workbook_identity(workbook),
                landed=workbook,
                run_id=workbook.sha256,
                report=read.report,
            )

    await asyncio.to_thread(staged, WORKBOOKS[0], landed[0])  # starts the nursery, as the worker's was
    took = Stopwatch()
    await asyncio.gather(*(one(path, workbook) for path, workbook in zip(WORKBOOKS, landed, strict=True)))
    return took()


async def test_one_workbook_from_start_to_done(
    settings: Settings, pool: Pool, store: ObjectStore, report: Report
) -> None:
    in_clear = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    client = await connect(in_clear)
    sent = Workbooks(Starter(in_clear, client, store, pool), RunLog(pool), client)
    forget(store, WORKBOOKS)
    taken, landing, histories = [], [], []
    async with worker_process(in_clear):
        for path in WARM_UP:
            await sent.ingest(path)
        for path in WORKBOOKS:
            took = Stopwatch()
            landed = await land_workbook(sent.starter, path)
            landing.append(took())
            handle = await ingest_workbook(sent.starter, landed, subject=path.name)
            result = await asyncio.wait_for(handle.result(), PATIENCE)
            taken.append(took())
            assert result.run_id == run_id(handle), "loaded before"
            histories.append(await handle.fetch_history())
    p50 = median(taken)
    parts = f"each of the 25 once, one after the other: {seconds(min(taken))} to {seconds(max(taken))}"
    figure = report.enter(
        "p50 of one workbook, landing to done", seconds(p50), "≤ 400 ms", kept=p50 <= 0.4, parts=parts
    )
    report.enter("… of it landing", milliseconds(landing))
    for step, values in where_the_time_goes(histories).items():
        report.enter(f"… of it {step}", milliseconds(values))
    largest = max(map(size_of, histories))
    kept = largest < 20_000
    size = report.enter("history of a run (codec off)", f"{largest / 1e3:.1f} kB", "< 20 kB", kept=kept)
    assert figure.kept
    assert size.kept


def where_the_time_goes(histories: Iterable[WorkflowHistory]) -> dict[str, list[float]]:
    """Seconds of each step of each run, by the server's clock: an activity's waiting and working, workflow tasks."""
    steps: dict[str, list[float]] = defaultdict(list)
    for history in histories:
        events = {event.event_id: event for event in history.events}
        tasks = 0.0
        for event in events.values():
            if event.HasField("activity_task_completed_event_attributes"):
                done = event.activity_task_completed_event_attributes
                scheduled, started = events[done.scheduled_event_id], events[done.started_event_id]
                name = scheduled.activity_task_scheduled_event_attributes.activity_type.name
                steps[f"{name}, waiting for a slot"].append(between(scheduled, started))
                steps[f"{name}, working"].append(between(started, event))
            elif event.HasField("workflow_task_completed_event_attributes"):
                tasks += between(events[event.workflow_task_completed_event_attributes.scheduled_event_id], event)
        steps["workflow tasks"].append(tasks)
    return steps


def between(first: HistoryEvent, second: HistoryEvent) -> float:
    moments = (event.event_time.ToDatetime(tzinfo=UTC) for event in (first, second))
    earlier, later = (moment.timestamp() for moment in moments)
    return later - earlier
