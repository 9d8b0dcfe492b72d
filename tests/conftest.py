"""The real servers, started once a session; a database of its own for each test that asks for one."""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from config.settings import KafkaSettings, Settings, StackSettings
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool, create_pool
from service import bootstrap
from service.resources import object_store, warehouse_dsn
from service.stack.runner import embedded_stack
from tests.support.databases import drop_database, make_database, named
from tests.support.kafka import Kafka
from tests.support.sandbox import RunningSandbox, running_sandbox

# No test finds the stack that may run in this folder: its worker, its topics and its rows are somebody's.
os.environ["WARDFLOW_STACK__FOLDER"] = str(Path(tempfile.gettempdir(), f"no-stack-of-{os.getpid()}"))


SERVERS = {"servers", "broker", "stack"}
"""Fixtures that start a server: a test that needs one gets the marker `servers`, and `make test-unit` leaves it out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


@pytest_asyncio.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """Postgres, Temporal and S3, with everything that `wardflow migrate` makes; Kafka is a fixture of its own."""
    folder = tmp_path_factory.mktemp("stack")
    settings = Settings(environment="test", stack=StackSettings(folder=folder), kafka=KafkaSettings(enabled=False))
    async with embedded_stack(settings) as running:
        await bootstrap.migrate(running)
        yield running


@pytest_asyncio.fixture
async def settings(servers: Settings) -> AsyncIterator[Settings]:
    """Settings of this test alone: a migrated database and queues that no other test has; the store is shared."""
    name = f"test_{secrets.token_hex(6)}"
    await make_database(warehouse_dsn(servers), name)
    postgres = servers.postgres.model_copy(update={"dsn": SecretStr(named(warehouse_dsn(servers), name))})
    worker = servers.worker.model_copy(update={"queue_prefix": f"{name}-"})
    yield servers.model_copy(update={"postgres": postgres, "worker": worker})
    await drop_database(warehouse_dsn(servers), name)


@pytest_asyncio.fixture(scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaSettings]:
    """A Kafka broker, started when the first test asks for it."""
    settings = Settings(environment="test", stack=StackSettings(folder=tmp_path_factory.mktemp("kafka")))
    async with embedded_stack(settings, parts=("kafka",)) as running:
        yield running.kafka


@pytest.fixture
def kafka(broker: KafkaSettings) -> Kafka:
    """Topics of this test alone, on the session's broker."""
    return Kafka.on(broker)


@pytest_asyncio.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """Connections to the test's database."""
    made = await create_pool(warehouse_dsn(settings), size=16)
    yield made
    made.terminate()


@pytest.fixture
def store(servers: Settings) -> Iterator[ObjectStore]:
    """The object store."""
    made = object_store(servers)
    yield made
    made.close()


@pytest.fixture
def fhir_sandbox() -> Iterator[RunningSandbox]:
    """A FHIR server with the shipped sample, of this test alone."""
    with running_sandbox() as running:
        yield running
