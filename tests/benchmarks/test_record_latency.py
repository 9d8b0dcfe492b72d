"""From the post of a record to the row that anybody can query, at a steady rate; API and worker are processes."""

import asyncio
import time
from uuid import UUID, uuid4

import httpx
import pytest

from activities.streams import DrainStarter
from config.settings import Settings
from library.warehouse.pool import Pool
from service.temporal import connect
from tests.benchmarks.measure import Report, seconds
from tests.benchmarks.test_records_api import PARTITIONS, Target, record_api
from tests.support.kafka import Kafka
from tests.support.processes import worker_process
from tests.support.records import lab_result
from workflows.policies import WORKFLOWS

pytestmark = pytest.mark.benchmark

RATE, WARM, SECONDS = 100, 3, 30


class Clinic:
    """Posts at the rate, and looks each few milliseconds which rows are there."""

    def __init__(self, target: Target, pool: Pool) -> None:
        self._target, self._pool = target, pool
        self._posted: dict[UUID, float] = {}
        self.taken: list[float] = []

    async def post(self, http: httpx.AsyncClient, duration: float) -> None:
        """Until all that was posted can be queried."""
        looking = asyncio.create_task(self._look())
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(RATE * duration)):
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                group.create_task(self._one(http))
        async with asyncio.timeout(30):
            while self._posted:  # noqa: ASYNC110 - the rows come into another process's tables
                await asyncio.sleep(0.01)
        looking.cancel()

    async def _one(self, http: httpx.AsyncClient) -> None:
        patient = uuid4()
        self._posted[patient] = time.perf_counter()
        answer = await http.post(self._target.path, json=lab_result(patient))
        assert answer.status_code == 202, answer.text

    async def _look(self) -> None:
        while True:
            rows = await self._pool.fetch(
                "SELECT patient_id FROM records.lab_result WHERE patient_id = ANY ($1)", list(self._posted)
            )
            now = time.perf_counter()
            self.taken += [now - self._posted.pop(row["patient_id"]) for row in rows]
            await asyncio.sleep(0.005)


async def test_a_record_is_queryable_soon_after_it_was_posted(
    settings: Settings, pool: Pool, kafka: Kafka, report: Report
) -> None:
    topic = await kafka.make_topic("lab_results", PARTITIONS)
    told = {
        "KAFKA__ENABLED": "true",
        "KAFKA__BOOTSTRAP_SERVERS": kafka.settings.bootstrap_servers or "",
        "KAFKA__LAB_RESULTS_TOPIC": topic,
    }
    starter = DrainStarter(await connect(settings), settings.worker.queue_prefix, WORKFLOWS)
    async with worker_process(settings, **told), record_api(settings, pool, kafka) as target:
        for partition in range(PARTITIONS):
            await starter.start(topic, partition)
        async with httpx.AsyncClient(base_url=target.url, headers=target.headers, trust_env=False, timeout=30) as http:
            await Clinic(target, pool).post(http, WARM)
            clinic = Clinic(target, pool)
            await clinic.post(http, SECONDS)
        await pool.execute("UPDATE ingest.stream_offset SET paused = true")
    taken = sorted(clinic.taken)
    assert len(taken) == RATE * SECONDS
    p50, p99 = (taken[int(len(taken) * share)] for share in (0.5, 0.99))
    figure = report.enter(
        f"p50 from POST to queryable, {RATE} records a second",
        seconds(p50),
        "≤ 500 ms",
        kept=p50 <= 0.5,
        parts=f"p99 {seconds(p99)}, the slowest {seconds(taken[-1])}; {PARTITIONS} partitions",
    )
    assert figure.kept
