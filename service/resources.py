"""What a process works with: pool, store, client; opened from the settings, closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg

from config.settings import Settings
from library.contracts.errors import ConfigurationError, WardflowError
from library.objects.store import ObjectStore
from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Pool, create_pool
from library.web.guard import Guard

_FILES_MAY_TAKE = 3_000.0
"""Seconds for the download of one file of an export; its activity may take an hour."""
_NOT_RUNNING = "Start the stack with `wardflow up`, or set {}."


class WarehouseUnavailable(WardflowError):
    """Postgres does not answer, or refuses the credentials."""

    retryable = True
    default_advice = "Start the stack with `wardflow up`, or see `wardflow doctor`."


def warehouse_dsn(settings: Settings) -> str:
    """Where and as whom to load.

    Raises:
        ConfigurationError: neither set nor known from a running stack.
    """
    if settings.postgres.dsn is None:
        raise ConfigurationError("No warehouse is known here.", advice=_NOT_RUNNING.format("WARDFLOW_POSTGRES__DSN"))
    return settings.postgres.dsn.get_secret_value()


@asynccontextmanager
async def warehouse(settings: Settings, *, size: int | None = None, name: str = "wardflow") -> AsyncIterator[Pool]:
    """A pool of connections, closed at the end.

    Raises:
        WarehouseUnavailable: Postgres does not answer.
    """
    try:
        pool = await create_pool(
            warehouse_dsn(settings), size=size or settings.postgres.pool_size, application_name=name
        )
    except (asyncpg.PostgresError, *DISCONNECTED) as error:
        raise WarehouseUnavailable(f"Postgres does not answer ({type(error).__name__}).") from error
    try:
        yield pool
    finally:
        await pool.close()


def download_guard(settings: Settings) -> Guard:
    """What may be downloaded.

    Raises:
        ConfigurationError: a host, origin or proxy of the settings cannot be one.
    """
    wanted = settings.downloads
    return Guard(
        hosts=wanted.hosts,
        schemes=wanted.schemes,
        ports=wanted.ports,
        private_origins=wanted.private_origins,
        max_bytes=settings.workbook.max_bytes,
        max_redirects=wanted.max_redirects,
        connect_timeout=wanted.connect_timeout,
        read_timeout=wanted.read_timeout,
        deadline=wanted.deadline,
        proxy=wanted.proxy.get_secret_value() if wanted.proxy else None,
        ca_file=wanted.ca_file,
    )


def file_guard(settings: Settings) -> Guard:
    """The same for files of exports, which are larger and take longer."""
    return replace(download_guard(settings), max_bytes=settings.fhir.max_file_bytes, deadline=_FILES_MAY_TAKE)


def object_store(settings: Settings) -> ObjectStore:
    """The object store.

    Raises:
        ConfigurationError: its address or keys are neither set nor known from a running stack.
    """
    s3 = settings.s3
    if s3.url is None or s3.access_key is None or s3.secret_key is None:
        raise ConfigurationError(
            "No object store is known here.",
            advice=_NOT_RUNNING.format("WARDFLOW_S3__URL, WARDFLOW_S3__ACCESS_KEY and WARDFLOW_S3__SECRET_KEY"),
        )
    return ObjectStore(
        s3.url,
        access_key=s3.access_key.get_secret_value(),
        secret_key=s3.secret_key.get_secret_value(),
        bucket=s3.bucket,
        region=s3.region,
    )
