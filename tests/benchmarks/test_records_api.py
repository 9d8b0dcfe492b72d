"""The record API against an endpoint that does nothing but send each body to Kafka with acks=all."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from config.settings import Settings
from library.access.tokens import Tokens
from library.access.users import Users
from library.sources.records.apis import Api
from library.warehouse.pool import Pool
from service.stack.own import health
from tests.benchmarks.measure import Report
from tests.support.kafka import Kafka
from tests.support.processes import api_process
from tests.support.records import lab_result

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
ROUNDS, SECONDS = 10, 1.5
CONNECTIONS = 64
PARTITIONS = 4
AT_LEAST = 0.7
LIST = 1_000


@dataclass(frozen=True)
class Target:
    """The address and the credentials for posts."""

    url: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What came of a round."""

    per_second: float
    median: float
    p99: float


async def posted(target: Target, bodies: Sequence[str], *, connections: int = CONNECTIONS) -> Outcome:
    """Post for some seconds."""
    address = urlsplit(target.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.posting_client",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    asked = {
        "host": address.hostname,
        "port": address.port,
        "path": target.path,
        "headers": target.headers,
        "bodies": bodies,
        "connections": connections,
        "seconds": SECONDS,
    }
    said, _ = await process.communicate(json.dumps(asked).encode())
    found: dict[str, Any] = json.loads(said)
    assert not found["wrong"], found["wrong"]
    taken = found["taken"]
    return Outcome(found["requests"] / found["seconds"], taken[len(taken) // 2], taken[int(len(taken) * 0.99)])


@asynccontextmanager
async def bare_endpoint(servers: str, topic: str) -> AsyncIterator[Target]:
    """The bare endpoint, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.bare_endpoint", servers, topic, str(port), cwd=ROOT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(60):
            while (await health(f"{url}/ready")).problem:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        yield Target(url, "/bare", {})
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def record_api(settings: Settings, pool: Pool, kafka: Kafka, **more: str) -> AsyncIterator[Target]:
    """The API as it is run, with a user's token."""
    user_id = await Users(pool).create("clinic")
    await Users(pool).grant("clinic", Api.LAB_RESULTS)
    _, token = await Tokens(pool).create("clinic", [], user_id=user_id)
    told = {
        "KAFKA__ENABLED": "true",
        "KAFKA__BOOTSTRAP_SERVERS": kafka.settings.bootstrap_servers or "",
        "KAFKA__LAB_RESULTS_TOPIC": kafka.settings.lab_results_topic,
        "RECORDS__PER_SECOND": "1e9",
        "RECORDS__BURST": "1000000000",
        "LOG__FORMAT": "json",
        "LOG__LEVEL": "INFO",
        **more,
    }
    async with api_process(settings, **told) as api:
        yield Target(api.url, "/api_lab_results", {"Authorization": f"Bearer {token}"})


async def test_posting_costs_little_more_than_sending_to_kafka(
    settings: Settings, pool: Pool, kafka: Kafka, report: Report
) -> None:
    topic = await kafka.make_topic("lab_results", PARTITIONS)
    bodies = [json.dumps(lab_result(UUID(int=number), lab_value=number / 10)) for number in range(500)]
    ours: list[Outcome] = []
    theirs: list[Outcome] = []
    async with (
        bare_endpoint(kafka.settings.bootstrap_servers or "", topic) as bare,
        record_api(settings, pool, kafka) as api,
    ):
        for target in (bare, api):
            await posted(target, bodies)  # warm
        for number in range(ROUNDS):
            turns = ((bare, theirs), (api, ours)) if number % 2 else ((api, ours), (bare, theirs))
            for target, outcomes in turns:
                outcomes.append(await posted(target, bodies))
        lists = [json.dumps([lab_result(UUID(int=number)) for number in range(LIST)])]
        in_lists = max([(await posted(api, lists, connections=4)) for _ in range(3)], key=lambda each: each.per_second)
    best, floor = (max(each, key=lambda outcome: outcome.per_second) for each in (ours, theirs))
    quotient = best.per_second / floor.per_second
    report.enter(
        "records posted one by one, lists of 1,000",
        f"{in_lists.per_second * LIST:,.0f} records/s",
        parts=f"{in_lists.per_second:.1f} lists/s, p99 {in_lists.p99:.0f} ms",
    )
    figure = report.enter(
        "POSTs a second of the record API, with bearer tokens",
        f"{quotient:.2f} x",
        f"≥ {AT_LEAST:g} x",
        kept=quotient >= AT_LEAST,
        parts=f"{best.per_second:,.0f}/s, p50 {best.median:.1f} ms, p99 {best.p99:.1f} ms : "
        f"{floor.per_second:,.0f}/s, p50 {floor.median:.1f} ms, p99 {floor.p99:.1f} ms (bare endpoint, acks=all)",
    )
    assert figure.kept
