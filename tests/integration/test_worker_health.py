"""What a worker's own page says of Kafka: missed by who drains nothing else, and only named by others."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

from config.settings import Settings
from tests.faults.proxy import Door
from tests.support.kafka import Kafka
from tests.support.processes import OwnProcess, worker_process
from workflows.policies import LOAD, QUEUES, STREAMS

WELL = {"postgres": "ok", "s3": "ok", "temporal": "ok", "worker": "ok"}


def worker(settings: Settings, queues: tuple[str, ...], kafka: str) -> AbstractAsyncContextManager[OwnProcess]:
    """A worker of these queues, which looks for Kafka at an address."""
    told = {"WORKER__QUEUES": json.dumps(queues), "KAFKA__ENABLED": "true", "KAFKA__BOOTSTRAP_SERVERS": kafka}
    return worker_process(settings, **told)


async def ready(asked: OwnProcess) -> tuple[int, dict[str, Any]]:
    """What its page says."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{asked.url}/health/ready")
        return answer.status_code, answer.json()


async def test_a_worker_of_all_queues_stays_ready_without_kafka_and_names_it(settings: Settings, kafka: Kafka) -> None:
    async with Door(kafka.settings.bootstrap_servers or "") as door, worker(settings, QUEUES, door.address) as made:
        assert await ready(made) == (200, {"state": "ready", "parts": WELL | {"kafka": "ok"}})
        await door.shut()
        missing = WELL | {"kafka": "unavailable: KafkaUnavailable"}
        assert await ready(made) == (200, {"state": "ready", "parts": missing})


async def test_a_worker_of_streams_alone_is_not_ready_without_kafka(settings: Settings, kafka: Kafka) -> None:
    async with Door(kafka.settings.bootstrap_servers or "") as door, worker(settings, (STREAMS,), door.address) as made:
        assert await ready(made) == (200, {"state": "ready", "parts": WELL | {"kafka": "ok"}})
        await door.shut()
        missing = WELL | {"kafka": "unavailable: KafkaUnavailable"}
        assert await ready(made) == (503, {"state": "not ready", "parts": missing})


async def test_a_worker_that_drains_nothing_does_not_ask_for_kafka(settings: Settings) -> None:
    async with worker(settings, (LOAD,), "127.0.0.1:1") as made:
        assert await ready(made) == (200, {"state": "ready", "parts": WELL})
