"""`/streams` on a real broker: what operators see of drains, and how they steer them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.streams.producer import Outgoing
from library.warehouse.pool import Pool
from service.temporal import connect
from service.worker.parts import Resources
from tests.support.api import api_here
from tests.support.kafka import Kafka
from tests.support.streams import encoded, patient
from tests.support.workers import serving
from workflows.policies import IO, STREAMS, WORKFLOWS


@dataclass
class Steering:
    """The API, a topic of patients with two partitions, and a worker that drains it."""

    http: httpx.AsyncClient
    pool: Pool
    kafka: Kafka
    topic: str

    async def send(self, *numbers: int, partition: int = 0) -> None:
        records = [
            Outgoing(encoded(patient(number)), partition=partition, timestamp=1_700_000_000_000 + number * 1_000)
            for number in numbers
        ]
        await self.kafka.send(self.topic, *records)

    async def post(self, action: str, body: Any = None, topic: str | None = None, **headers: str) -> httpx.Response:
        return await self.http.post(f"/streams/{topic or self.topic}/{action}", json=body, headers=headers)

    async def items(self) -> list[dict[str, Any]]:
        answer = await self.http.get("/streams")
        assert answer.status_code == 200, answer.text
        return [item for item in answer.json()["items"] if item["topic"] == self.topic]

    async def offsets(self) -> list[int]:
        return [item["next_offset"] for item in await self.items()]

    async def until(self, offsets: list[int], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while await self.offsets() != offsets:  # noqa: ASYNC110 - only the API knows
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def steering(settings: Settings, pool: Pool, store: ObjectStore, kafka: Kafka) -> AsyncIterator[Steering]:
    topic = await kafka.make_topic("patient", partitions=2)
    streams = settings.streams.model_copy(update={"seconds": 1.0, "wait": 0.2})
    settings = settings.model_copy(update={"kafka": kafka.settings, "streams": streams})
    _, token = await Tokens(pool).create("test", [Scope.OPERATE])
    client = await connect(settings)
    resources = Resources(settings, client, pool, store)
    async with api_here(settings, token=token) as http, serving(resources, (WORKFLOWS, IO, STREAMS)):
        made = Steering(http, pool, kafka, topic)
        yield made
        await made.post("pause")
        for partition in range(2):
            handle = client.get_workflow_handle(f"{settings.worker.queue_prefix}drain-{topic}-{partition}")
            await asyncio.wait_for(handle.result(), 60)


async def test_a_topic_is_resumed_listed_and_paused(steering: Steering) -> None:
    await steering.send(1, 2, 3)
    assert await steering.items() == []
    resumed = await steering.post("resume")  # starts its drains, however often
    assert resumed.status_code == 200, resumed.text
    assert (await steering.post("resume")).json()["items"][0]["topic"] == steering.topic
    await steering.until([3, 0])
    (first, second) = await steering.items()
    assert (first["state"], first["lag"], first["freshness"], first["reason"]) == ("draining", 0, 0, None)
    assert first["rate"] > 0
    assert (second["state"], second["lag"], second["freshness"]) == ("draining", 0, None)

    for _ in range(2):
        paused = await steering.post("pause")
        assert [item["paused"] for item in paused.json()["items"]] == [True, True]
    await steering.send(4)
    (first, second) = await steering.items()
    assert (first["state"], first["lag"], first["next_offset"]) == ("paused", 1, 3)
    await steering.post("resume")
    await steering.until([4, 0])


async def test_a_rewind_replays_from_an_offset_a_time_or_an_end_and_rows_stay_as_they_were(steering: Steering) -> None:
    await steering.send(*range(10))
    await steering.post("resume")
    await steering.until([10, 0])
    rows = "SELECT patient_id, language FROM records.patient ORDER BY 1"
    before = await steering.pool.fetch(rows)

    bodies: list[tuple[dict[str, Any], int]] = [
        ({"offset": 0}, 0),
        ({"offset": 7, "partition": 0}, 7),
        ({"time": datetime.fromtimestamp(1_700_000_004, UTC).isoformat()}, 4),
        ({"time": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, 10),
        ({"time": "1969-12-31T23:59:59.999Z"}, 0),
        ({"time": "0001-01-01T00:00:00Z"}, 0),
        ({"to": "earliest"}, 0),
        ({"to": "latest"}, 10),
    ]
    for generation, (body, offset) in enumerate(bodies, start=2):
        rewound = await steering.post("rewind", body)
        assert rewound.status_code == 200, rewound.text
        first = rewound.json()["items"][0]
        assert (first["next_offset"], first["generation"]) == (offset, generation)
        await steering.until([10, 0])
    assert await steering.pool.fetch(rows) == before
    assert await steering.pool.fetchval("SELECT count(*) FROM access.audit WHERE action = 'rewind_stream'") == len(
        bodies
    )


async def test_a_rewind_with_its_key_happens_once(steering: Steering) -> None:
    await steering.send(1)
    await steering.post("resume")
    await steering.until([1, 0])
    for _ in range(2):
        assert (await steering.post("rewind", {"offset": 0}, **{"Idempotency-Key": "k"})).status_code == 200
    assert {item["generation"] for item in await steering.items()} == {2}


async def test_what_cannot_be_is_refused_and_changes_nothing(steering: Steering) -> None:
    await steering.send(1)
    await steering.post("resume")
    await steering.until([1, 0])
    for body, field in (
        ({}, "body"),
        ({"offset": 0, "to": "latest"}, "body"),
        ({"offset": -1}, "offset"),
        ({"offset": "0"}, "offset"),
        ({"offset": 2**63}, "offset"),
        ({"time": "2024-01-01T00:00:00"}, "time"),
        ({"to": "middle"}, "to"),
        ({"offset": 0, "more": 1}, "more"),
    ):
        refused = await steering.post("rewind", body)
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    for action in ("pause", "resume"):  # they are of all partitions
        refused = await steering.post(action, {"partition": 1})
        assert (refused.status_code, refused.json()["field"]) == (422, "partition"), refused.text
    beyond = await steering.post("rewind", {"offset": 5})
    assert (beyond.status_code, beyond.json()["type"]) == (422, "OffsetNotHeld")
    assert (await steering.post("rewind", {"offset": 0, "partition": 9})).status_code == 404
    assert {item["generation"] for item in await steering.items()} == {1}


@pytest.mark.parametrize("action", ["pause", "resume", "rewind"])
async def test_a_topic_that_feeds_nothing_is_not_found(steering: Steering, action: str) -> None:
    await steering.post("resume")
    answer = await steering.post(action, {"offset": 0} if action == "rewind" else None, topic="none")
    assert (answer.status_code, answer.json()["type"]) == (404, "StreamUnknown")
