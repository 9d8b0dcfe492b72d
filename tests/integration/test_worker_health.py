"""What a worker's own page says of Kafka: missed by who drains nothing else, and only named by others."""

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from config.settings import Settings
from service.resources import warehouse_dsn
from tests.faults.proxy import Door
from tests.support.kafka import Kafka
from workflows.policies import LOAD, QUEUES, STREAMS

WELL = {"postgres": "ok", "s3": "ok", "temporal": "ok", "worker": "ok"}


@asynccontextmanager
async def worker(settings: Settings, queues: tuple[str, ...], bootstrap_servers: str) -> AsyncIterator[str]:
    """`wardflow worker` of these queues on this test's database; yields the address of its page, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    told = {
        "ENVIRONMENT": settings.environment,
        "STACK__FOLDER": str(settings.stack.folder),
        "POSTGRES__DSN": warehouse_dsn(settings),
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "WORKER__QUEUE_PREFIX": settings.worker.queue_prefix,
        "WORKER__PORT": str(port),
        "WORKER__QUEUES": json.dumps(queues),
        "LOG__LEVEL": "ERROR",
    }
    environment = os.environ | {f"WARDFLOW_{name}": value for name, value in told.items()}
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.cli", "worker", env=environment, stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{port}/health/ready"
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def ready(url: str) -> tuple[int, dict[str, Any]]:
    """What the page says, once there is one."""
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                answer = await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return answer.status_code, answer.json()


async def test_a_worker_of_all_queues_stays_ready_without_kafka_and_names_it(settings: Settings, kafka: Kafka) -> None:
    async with Door(kafka.settings.bootstrap_servers or "") as door, worker(settings, QUEUES, door.address) as url:
        assert await ready(url) == (200, {"state": "ready", "parts": WELL | {"kafka": "ok"}})
        await door.shut()
        missing = WELL | {"kafka": "unavailable: KafkaUnavailable"}
        assert await ready(url) == (200, {"state": "ready", "parts": missing})


async def test_a_worker_of_streams_alone_is_not_ready_without_kafka(settings: Settings, kafka: Kafka) -> None:
    async with Door(kafka.settings.bootstrap_servers or "") as door, worker(settings, (STREAMS,), door.address) as url:
        assert await ready(url) == (200, {"state": "ready", "parts": WELL | {"kafka": "ok"}})
        await door.shut()
        missing = WELL | {"kafka": "unavailable: KafkaUnavailable"}
        assert await ready(url) == (503, {"state": "not ready", "parts": missing})


async def test_a_worker_that_drains_nothing_does_not_ask_for_kafka(settings: Settings) -> None:
    async with worker(settings, (LOAD,), "127.0.0.1:1") as url:
        assert await ready(url) == (200, {"state": "ready", "parts": WELL})
