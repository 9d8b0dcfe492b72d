"""`/health/ready` names Kafka if it is used. Without Kafka, the other work of a process continues."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from tests.faults.proxy import Door
from tests.support.api import api_here
from tests.support.kafka import Kafka

OTHERS = {"postgres": "ok", "s3": "ok", "temporal": "ok"}


@pytest_asyncio.fixture
async def door(kafka: Kafka) -> AsyncIterator[Door]:
    """Between the API and Kafka."""
    async with Door(kafka.settings.bootstrap_servers or "") as made:
        yield made


@pytest_asyncio.fixture
async def http(settings: Settings, pool: Pool, door: Door) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who may read of patients."""
    kafka = settings.kafka.model_copy(update={"enabled": True, "bootstrap_servers": door.address})
    _, token = await Tokens(pool).create("test", [Scope.READ_PATIENTS])
    async with api_here(settings.model_copy(update={"kafka": kafka}), token=token) as made:
        yield made


async def ready(http: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
    answer = await http.get("/health/ready")
    return answer.status_code, answer.json()


async def test_an_api_without_kafka_says_so_and_stays_ready_since_it_still_answers_questions(
    http: httpx.AsyncClient, door: Door
) -> None:
    assert await ready(http) == (200, {"state": "ready", "parts": OTHERS | {"kafka": "ok"}})
    await door.shut()
    missing = OTHERS | {"kafka": "unavailable: KafkaUnavailable"}
    assert await ready(http) == (200, {"state": "ready", "parts": missing})
    assert (await http.get("/records/patients")).status_code == 200
    await door.open()
    assert await ready(http) == (200, {"state": "ready", "parts": OTHERS | {"kafka": "ok"}})


async def test_a_kafka_that_hangs_holds_the_answer_up_for_two_seconds_at_most(
    http: httpx.AsyncClient, door: Door
) -> None:
    door.jam()
    began = time.monotonic()
    assert await ready(http) == (200, {"state": "ready", "parts": OTHERS | {"kafka": "unavailable: TimeoutError"}})
    assert time.monotonic() - began < 3


async def test_a_start_that_temporal_does_not_take_says_whether_to_come_again(settings: Settings, pool: Pool) -> None:
    _, token = await Tokens(pool).create("test", [Scope.ADMIN])
    async with Door(settings.temporal.address or "") as temporal:
        away = settings.model_copy(
            update={"temporal": settings.temporal.model_copy(update={"address": temporal.address})}
        )
        async with api_here(away, token=token) as http:
            await temporal.shut()
            answer = await http.post("/zipcodes", json={"zipcodes": ["02139"]})
    assert (answer.status_code, answer.json()["type"]) == (503, "TemporalUnavailable")
    assert answer.headers["retry-after"] == "5"
