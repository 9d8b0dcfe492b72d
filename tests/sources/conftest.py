"""Each source in turn, and an environment for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from config.sections import EncryptionSettings
from config.settings import Settings
from library.objects.store import ObjectStore
from library.streams.cluster import Cluster, NewTopicSpec
from library.warehouse.pool import Pool
from service.resources import kafka_connection, source_feeds
from service.sources import SOURCES
from service.sources.source import Source
from tests.faults.harness import Workers
from tests.sources.environment import SourceEnvironment, open_environment
from tests.sources.supply import Supply, supply_of
from tests.support.kafka import Kafka


@pytest.fixture(params=SOURCES, ids=lambda source: source.name)
def source(request: pytest.FixtureRequest) -> Source:
    """The source that is tested."""
    found: Source = request.param
    return found


@pytest.fixture
def supply(source: Source) -> Supply:
    """What it supplies."""
    found = supply_of(source.name)
    if found is None:
        pytest.fail(f"tests/sources/supplies/{source.name}.py is missing: docs/add-a-source.md says what it holds")
    return found


@pytest.fixture
def kafka_if_streamed(supply: Supply, request: pytest.FixtureRequest) -> Kafka | None:
    """Topics of this test alone, for a source that needs them; a broker takes seconds to start."""
    return request.getfixturevalue("kafka") if supply.streamed else None


@pytest_asyncio.fixture
async def source_settings(settings: Settings, kafka_if_streamed: Kafka | None) -> Settings:
    """The settings: with Kafka if the source needs it, and drains that look often."""
    if kafka_if_streamed is None:
        return settings
    hurried = settings.streams.model_copy(update={"seconds": 1.0, "wait": 0.2})
    made = settings.model_copy(update={"kafka": kafka_if_streamed.settings, "streams": hurried})
    async with Cluster(kafka_connection(made)) as cluster:
        await cluster.make_topics(
            [NewTopicSpec(feed.topic, 1, options={"retention.ms": "-1"}) for feed in source_feeds(made)]
        )
    return made


@pytest_asyncio.fixture
async def environment(
    source: Source, source_settings: Settings, pool: Pool, store: ObjectStore
) -> AsyncIterator[SourceEnvironment]:
    """The API, commands, and no worker yet; payloads in Temporal are encrypted."""
    async with open_environment(source_settings, pool, store, source) as made:
        yield made


@pytest_asyncio.fixture
async def unencrypted_environment(
    source: Source, source_settings: Settings, pool: Pool, store: ObjectStore
) -> AsyncIterator[SourceEnvironment]:
    """The API and commands; payloads in Temporal are not encrypted."""
    in_clear = source_settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with open_environment(in_clear, pool, store, source) as made:
        yield made


@pytest.fixture
def workers(source_settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    """Starts worker processes; ends them all."""
    made = Workers(source_settings, tmp_path)
    yield made
    made.end()
