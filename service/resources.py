"""The resources of a process: pool, store, clients. They are opened from the settings and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import asyncpg

from config.settings import Settings
from library.contracts.errors import ConfigurationError, WardflowError
from library.contracts.streams import KafkaTurnedOff
from library.lake.storage import LakeStorage
from library.objects.store import ObjectStore
from library.streams.connection import Connection
from library.streams.control import Streams
from library.streams.topics import Topics
from library.warehouse.archives import Archives
from library.warehouse.batches import Feed
from library.warehouse.failures import DISCONNECTED
from library.warehouse.offsets import Offsets
from library.warehouse.pool import Pool, create_pool
from library.web.guard import Guard
from service.addresses import postgres_server
from service.sources import modules
from service.waiting import resolved, waiting_for

CONNECT_MAY_TAKE = 60.0
"""Seconds until a connection to Postgres times out: asyncpg's own limit."""
_NOT_RUNNING = "Start the stack with `wardflow up --detach`, or set {}."


class WarehouseUnavailable(WardflowError):
    """Postgres does not answer, or refuses the credentials."""

    retryable = True
    default_advice = "Start the stack with `wardflow up --detach`, or see `wardflow doctor`."


def warehouse_dsn(settings: Settings) -> str:
    """The address and credentials of the warehouse.

    Raises:
        ConfigurationError: they are not in the settings, and no stack runs.
    """
    if settings.postgres.dsn is None:
        raise ConfigurationError("No warehouse is known here.", advice=_NOT_RUNNING.format("WARDFLOW_POSTGRES__DSN"))
    return settings.postgres.dsn.get_secret_value()


@asynccontextmanager
async def warehouse(
    settings: Settings, *, size: int | None = None, name: str = "wardflow", stateless: bool = False
) -> AsyncIterator[Pool]:
    """A pool of connections, closed at the end.

    Raises:
        WarehouseUnavailable: Postgres does not answer.
        HostNotResolved: its name does not resolve.
    """
    dsn, server = warehouse_dsn(settings), postgres_server(settings)
    await resolved(server)
    try:
        with waiting_for(server, "the connection is not open yet", seconds=CONNECT_MAY_TAKE):
            pool = await create_pool(
                dsn, size=size or settings.postgres.pool_size, application_name=name, stateless=stateless
            )
    except (asyncpg.PostgresError, *DISCONNECTED) as error:
        raise WarehouseUnavailable(f"Postgres does not answer ({type(error).__name__}).") from error
    try:
        yield pool
    finally:
        await pool.close()


def download_guard(settings: Settings, *, max_bytes: int, deadline: float | None = None) -> Guard:
    """The limits and rules of downloads.

    Args:
        settings: the section `downloads` is used.
        max_bytes: maximum size of one download.
        deadline: seconds for one download; by default, the value of the settings.

    Raises:
        ConfigurationError: a host, origin or proxy of the settings cannot be one.
    """
    wanted = settings.downloads
    return Guard(
        hosts=wanted.hosts,
        schemes=wanted.schemes,
        ports=wanted.ports,
        private_origins=wanted.private_origins,
        max_bytes=max_bytes,
        max_redirects=wanted.max_redirects,
        connect_timeout=wanted.connect_timeout,
        read_timeout=wanted.read_timeout,
        deadline=deadline or wanted.deadline,
        proxy=wanted.proxy.get_secret_value() if wanted.proxy else None,
        ca_file=wanted.ca_file,
    )


def object_store(settings: Settings) -> ObjectStore:
    """The object store.

    Raises:
        ConfigurationError: its address or keys are neither set nor known from a running stack.
    """
    return ObjectStore(**_bucket(settings))


def lake_storage(settings: Settings) -> LakeStorage:
    """The same bucket, as the lake's tables use it.

    Raises:
        ConfigurationError: its address or keys are neither set nor known from a running stack.
    """
    return LakeStorage(**_bucket(settings))


class _Bucket(TypedDict):
    url: str
    access_key: str
    secret_key: str
    bucket: str
    region: str


def _bucket(settings: Settings) -> _Bucket:
    s3 = settings.s3
    if s3.url is None or s3.access_key is None or s3.secret_key is None:
        raise ConfigurationError(
            "No object store is known here.",
            advice=_NOT_RUNNING.format("WARDFLOW_S3__URL, WARDFLOW_S3__ACCESS_KEY and WARDFLOW_S3__SECRET_KEY"),
        )
    return {
        "url": s3.url,
        "access_key": s3.access_key.get_secret_value(),
        "secret_key": s3.secret_key.get_secret_value(),
        "bucket": s3.bucket,
        "region": s3.region,
    }


def kafka_connection(settings: Settings) -> Connection:
    """The address and the credentials of Kafka.

    Raises:
        KafkaTurnedOff: Kafka is turned off by a setting, or in the running stack.
        ConfigurationError: the address is not in the settings, and no stack runs.
    """
    kafka = settings.kafka
    if not kafka.enabled:
        raise KafkaTurnedOff
    if kafka.bootstrap_servers is None:
        raise ConfigurationError(
            "No Kafka is known here.", advice=_NOT_RUNNING.format("WARDFLOW_KAFKA__BOOTSTRAP_SERVERS")
        )
    return Connection(
        bootstrap_servers=kafka.bootstrap_servers,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_user=kafka.sasl_user,
        sasl_password=kafka.sasl_password.get_secret_value() if kafka.sasl_password else None,
        ca_file=kafka.ca_file,
        request_timeout=kafka.request_timeout,
    )


def source_feeds(settings: Settings) -> tuple[Feed, ...]:
    """The feeds of all sources."""
    return tuple(feed for module in modules("topics") for feed in module.feeds(settings))


def topics(settings: Settings) -> Topics:
    """The declared topics, by the names that the settings give them."""
    return Topics((*source_feeds(settings), *(Feed(topic, "bronze") for topic in settings.lake.topics)))


def streams(settings: Settings, pool: Pool) -> Streams:
    """What steers drains.

    Raises:
        ConfigurationError: no Kafka is known here.
    """
    return Streams(kafka_connection(settings), topics(settings), Offsets(pool), Archives(pool))
