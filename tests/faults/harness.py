"""What the tests of faults share: worker processes, sending workbooks, and comparing what came of them."""

import asyncio
import csv
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
import psutil
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDReusePolicy

from config.settings import Settings
from library.contracts.runs import Run
from library.objects.staged import STAGED
from library.objects.store import ObjectStore
from library.sources.beds.contracts import IngestWorkbook
from library.sources.beds.names import SECTORS
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.resources import warehouse_dsn
from service.sources.beds.starts import ingest_workbook, land_workbook
from service.starts import RunHandle, Starter, run_id
from tests.faults.worker import Deed, Orders, Point, Stop, start_worker
from workflows.beds import IngestWorkbookWorkflow
from workflows.policies import QUEUES, WORKFLOWS

NHS = Path(__file__).parents[1] / "data" / "nhs"
KH03 = sorted((NHS / "kh03").iterdir())
PUBLISHED = {row["file"]: row for row in csv.DictReader((NHS / "england-totals.csv").read_text().splitlines())}
PATIENCE = 90.0
"""Seconds that a condition may take to become true: much more than on an idle machine."""
TOLERANCE = 0.01
"""Beds: what sums of published fractions may differ by."""

OF_AN_EDITION = {
    "beds.edition": "id",
    "beds.edition_organisation": "edition_id",
    "beds.occupancy": "edition_id",
    "beds.specialty_occupancy": "edition_id",
    "beds.england_total": "edition_id",
}
"""Tables whose rows belong to an edition, and by which column."""

TABLES = (*OF_AN_EDITION, "beds.specialty")

type Figures = dict[str, tuple[int, str]]
"""By table: how many rows, and the hash of all of their values; who loaded them is left out."""


@dataclass(frozen=True)
class Clean:
    """The figures of an undisturbed load of all workbooks: of each one, and of all tables."""

    of: dict[Path, Figures]
    together: Figures


async def until[Found](condition: Callable[[], Found], seconds: float = PATIENCE) -> Found:
    """Wait until the condition holds; return what it found."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        await asyncio.sleep(0.02)
    return found


async def until_async(condition: Callable[[], Awaitable[object]], seconds: float = PATIENCE) -> None:
    """Wait until what the condition finds is true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - nothing tells us but looking
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class WorkerProcess:
    """One worker process."""

    process: ForkServerProcess
    log: Path
    signs: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    async def serves(self) -> None:
        """Wait until it polls its queues."""
        await until(lambda: self.health_url() or not self.process.is_alive())
        assert self.process.is_alive(), self.log.read_text()

    async def reached(self) -> None:
        """Wait until it stands at its place."""
        await until(lambda: (self.signs / "reached").exists() or not self.process.is_alive())
        assert (self.signs / "reached").exists(), self.log.read_text()

    async def frozen(self) -> None:
        """Wait until the system has stopped it."""
        await self.reached()
        await until(lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)

    async def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; return the exit code."""
        await until(lambda: not self.process.is_alive(), seconds)
        assert self.process.exitcode is not None
        return self.process.exitcode

    def thaw(self) -> None:
        """Let it go on where it is frozen."""
        psutil.Process(self.pid).resume()

    def go(self) -> None:
        """Let it go on where it waits."""
        (self.signs / "go").touch()

    async def loads(self, count: int) -> list[str]:
        """Wait until its loader has ended this often; return how."""
        await until(lambda: len(self.ended_loads()) >= count)
        return self.ended_loads()

    def ended_loads(self) -> list[str]:
        """How its loader has ended, each time."""
        file = self.signs / "loads"
        return file.read_text().splitlines() if file.exists() else []

    async def is_ending(self) -> None:
        """Wait until it has taken note of the signal."""

        async def ending() -> bool:
            return bool((await self.health())[1]["parts"]["worker"] == "ending")

        await until_async(ending)

    def health_url(self) -> str | None:
        """Where its health page is, once it serves."""
        for line in self.log.read_text().splitlines() if self.log.exists() else ():
            with suppress(ValueError):
                said = json.loads(line)
                if said["event"] == "worker started":
                    return f"http://127.0.0.1:{said['port']}/health"
        return None

    async def health(self) -> tuple[int, dict[str, Any]]:
        """Whether it is ready, as it says itself."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            answer = await client.get(f"{self.health_url()}/ready")
        return answer.status_code, answer.json()


class Workers:
    """Starts worker processes and ends them all."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._environment = environment_of(settings)
        self._folder = folder
        self._started: list[WorkerProcess] = []

    async def start(
        self, *, queues: Sequence[str] = QUEUES, stops: tuple[Point, Deed] | None = None, **settings: str
    ) -> WorkerProcess:
        """Start one and wait until it serves its queues.

        Args:
            queues: which.
            stops: where it stops, and what it does there.
            settings: more settings, named like their environment variables, in lower case.
        """
        name = f"worker-{len(self._started)}"
        signs, log = self._folder / name, self._folder / f"{name}.log"
        signs.mkdir()
        more = {f"WARDFLOW_{key.upper()}": value for key, value in settings.items()}
        point, deed = stops or (None, "wait")
        stop = Stop(point, deed, signs)
        process = start_worker(Orders(self._environment | more, log, tuple(queues), stop))
        made = WorkerProcess(process, log, signs)
        self._started.append(made)
        await made.serves()
        return made

    def end(self) -> None:
        """Kill those that are still there."""
        for worker in self._started:
            worker.process.kill()
        for worker in self._started:
            worker.process.join()
            worker.process.close()


def environment_of(settings: Settings) -> dict[str, str]:
    """What a process needs to find the same servers, database and queues."""
    s3 = settings.s3
    assert s3.access_key is not None
    assert s3.secret_key is not None
    told = {
        "ENVIRONMENT": settings.environment,
        "POSTGRES__DSN": warehouse_dsn(settings),
        "TEMPORAL__ADDRESS": settings.temporal.address or "",
        "S3__URL": s3.url or "",
        "S3__ACCESS_KEY": s3.access_key.get_secret_value(),
        "S3__SECRET_KEY": s3.secret_key.get_secret_value(),
        "ENCRYPTION__KEY_RING": str(settings.key_ring_file),
        "WORKER__QUEUE_PREFIX": settings.worker.queue_prefix,
        "LOG__FORMAT": "json",
    }
    return {f"WARDFLOW_{name}": value for name, value in told.items()}


@dataclass
class Ward:
    """Sends workbooks, and looks at what became of them."""

    settings: Settings
    client: Client
    store: ObjectStore
    pool: Pool
    starter: Starter = field(init=False)
    runs: RunLog = field(init=False)

    def __post_init__(self) -> None:
        self.starter = Starter(self.settings, self.client, self.store, self.pool)
        self.runs = RunLog(self.pool)

    async def start(self, path: Path, *, reload: int = 0) -> RunHandle:
        """Land a workbook and start its run; a reload is started whether or not anything is loaded yet."""
        landed = await land_workbook(self.starter, path)
        if not reload:
            return await ingest_workbook(self.starter, landed, subject=path.name)
        return await self.client.start_workflow(
            IngestWorkbookWorkflow.run,
            IngestWorkbook(workbook=landed, reload=reload),
            id=f"workbook-{landed.sha256}-reload-{reload}",
            task_queue=self.settings.worker.queue_prefix + WORKFLOWS,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )

    async def run_of(self, handle: RunHandle) -> Run:
        """The run as `ingest.run` has it."""
        found = await self.runs.get(run_id(handle))
        assert found is not None
        return found

    async def closed(self, handle: RunHandle, seconds: float = PATIENCE) -> Run:
        """Wait until the workflow has ended; the run."""
        with suppress(WorkflowFailureError):  # the run says why
            await asyncio.wait_for(handle.result(), seconds)
        return await self.run_of(handle)

    async def attempts(self, handle: RunHandle, activity: str = "load_staged") -> int:
        """How many attempts an activity of the workflow took."""
        history = await handle.fetch_history()
        scheduled = {
            event.event_id
            for event in history.events
            if event.activity_task_scheduled_event_attributes.activity_type.name == activity
        }
        (started,) = (
            event.activity_task_started_event_attributes.attempt
            for event in history.events
            if event.activity_task_started_event_attributes.scheduled_event_id in scheduled
        )
        return started

    async def cancel_has_reached_the_activity(self, handle: RunHandle) -> None:
        """Wait until the workflow has passed its cancellation on."""

        async def passed_on() -> bool:
            events = (await handle.fetch_history()).events
            return any(event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED for event in events)

        await until_async(passed_on)

    async def somebody_waits_for_a_lock(self) -> bool:
        """Whether a load waits for another one."""
        waiting: bool = await self.pool.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'load %' AND wait_event_type = 'Lock')"
        )
        return waiting

    async def figures(self, path: Path) -> Figures:
        """The rows of a workbook's edition."""
        sha256 = (await land_workbook(self.starter, path)).sha256
        edition = await self.pool.fetchval("SELECT id FROM beds.edition WHERE object_sha256 = $1", sha256)
        return {
            table: await self._hashed(table, f"WHERE {column} = $1", edition) for table, column in OF_AN_EDITION.items()
        }

    async def all_figures(self) -> Figures:
        """The rows of all tables."""
        return {table: await self._hashed(table, "") for table in TABLES}

    async def _hashed(self, table: str, where: str, *values: object) -> tuple[int, str]:
        row = await self.pool.fetchrow(
            "SELECT count(*), coalesce(md5(string_agg(value, '' ORDER BY value)), '') FROM "
            f"(SELECT (to_jsonb(r) - 'load_id' - 'landed_at')::text AS value FROM {table} r {where}) rows",
            *values,
        )
        return row[0], row[1]

    async def versions(self) -> list[tuple[str, ...]]:
        """The stored version of each row (`xmin`). Every write of a row changes it, even with equal values."""
        found = []
        for table in (*TABLES, "ingest.load"):
            rows = await self.pool.fetch(f"SELECT xmin::text, ctid::text FROM {table} ORDER BY ctid")
            found += [(table, *row) for row in rows]
        return found

    async def assert_loaded_once(self, path: Path, clean: Figures, *, loads: int = 1) -> None:
        """Every row of a workbook is there once, equal to those of a clean load, and agrees with what was published."""
        assert await self.figures(path) == clean
        published = PUBLISHED[path.name]
        sha256 = (await land_workbook(self.starter, path)).sha256
        sums = await self.pool.fetch(
            "SELECT sector, count(*), sum(available) AS available, sum(o.occupied) AS occupied "
            "FROM beds.occupancy o JOIN beds.edition e ON e.id = o.edition_id WHERE e.object_sha256 = $1 GROUP BY 1",
            sha256,
        )
        assert sorted(row["sector"] for row in sums) == sorted(SECTORS)
        for row in sums:
            assert row["count"] == int(published["organisations"])
            assert abs(row["available"] - float(published[f"available_{row['sector']}"])) <= TOLERANCE
            assert abs(row["occupied"] - float(published[f"occupied_{row['sector']}"])) <= TOLERANCE
        entries = await self.pool.fetchval("SELECT count(*) FROM ingest.load WHERE object_sha256 = $1", sha256)
        assert entries == loads

    async def assert_nothing_loaded(self) -> None:
        """No row, no entry in the ledger."""
        for table in (*TABLES, "ingest.load"):
            assert await self.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table

    async def assert_specialties_named_by_the_newest(self) -> None:
        """Each specialty is there once, named as of the newest of the loaded editions that have it."""
        wrong = await self.pool.fetch(
            "SELECT * FROM beds.specialty s FULL JOIN (SELECT specialty_code AS code, max(period_end) AS newest "
            "FROM beds.specialty_occupancy o JOIN beds.edition e ON e.id = o.edition_id GROUP BY 1) n USING (code) "
            "WHERE s.named_for IS DISTINCT FROM n.newest"
        )
        assert wrong == []

    async def assert_nothing_left(self) -> None:
        """No session of a load lives on, no run is open."""
        assert await self.sessions() == []
        assert await self.pool.fetch("SELECT id, phase FROM ingest.run WHERE state = 'running'") == []

    async def sessions(self) -> list[str]:
        """Sessions of loads, by their names."""
        rows = await self.pool.fetch(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'load %'"
        )
        return [row[0] for row in rows]

    def staged_objects(self, run: Run) -> list[str]:
        """Staged objects that the loads of a run have left."""
        return [name for load in run.load_ids for name in keys(self.store, f"{STAGED}{load}/")]

    async def seconds_of_load(self, run: Run) -> float:
        """From the beginning of the attempt that loaded it to its commit."""
        seconds = await self.pool.fetchval(
            "SELECT extract(epoch FROM committed_at - started_at)::float FROM ingest.load WHERE id = $1::text::uuid",
            run.load_ids[0],
        )
        return float(seconds)


def keys(store: ObjectStore, prefix: str) -> Iterator[str]:
    """Names of the objects below a prefix."""
    return store.keys_older_than(prefix, datetime.now(UTC) + timedelta(days=1))
