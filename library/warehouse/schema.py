"""Alembic makes and upgrades the warehouse's schema, one process at a time. Revisions only add things."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from library.contracts.errors import WardflowError
from library.datasets import access, ingest
from library.warehouse import revisions as files
from library.warehouse.comments import enter_comments
from library.warehouse.failures import sqlstate
from library.warehouse.server import check_version

METADATA: MetaData = SQLModel.metadata

COMPARED = ["alembic.autogenerate.*", "~alembic.autogenerate.comments"]
"""What Alembic compares with the models. Each migration writes the comments itself (`library.warehouse.comments`)."""

_log = structlog.get_logger(__name__)
_LOCK = "wardflow migrate"
_LOCK_NOT_AVAILABLE = "55P03"
_LOCK_WAIT, _PATIENCE = 3.0, 300.0
"""Seconds: how long a revision waits for a table before it lets others use it, and how long it retries."""


class TablesInUse(WardflowError):
    """The schema cannot be changed now."""

    retryable = True
    default_advice = "`wardflow migrate` when the load has ended; pg_stat_activity shows it."


@dataclass(frozen=True)
class Schemas:
    """The schemas of the warehouse.

    Attributes:
        sources: one for each source; the models of their tables are imported.
    """

    sources: tuple[str, ...]

    @property
    def readable(self) -> tuple[str, ...]:
        """The schemas that the read-only role may read. `access` is not among them."""
        return (ingest.SCHEMA, *self.sources)

    @property
    def every(self) -> tuple[str, ...]:
        """All schemas."""
        return (*self.readable, access.SCHEMA)

    def compares(self, name: str | None, kind: str, parents: Any) -> bool:  # noqa: ANN401, ARG002 - the signature is Alembic's
        """Whether Alembic compares a schema or table: our schemas, but not its own table."""
        return name in self.every if kind == "schema" else name != "alembic_version"


async def upgrade(dsn: str, schemas: Schemas) -> str:
    """Upgrade the schema to the newest revision, unless it is at one that this program does not know.

    Waits for another process that does the same.

    Loads continue meanwhile. A waiting lock blocks all later locks of a table, so each wait is short, and a table in
    use is tried again.

    Returns:
        The revision.

    Raises:
        PostgresTooOld: the server is older than `server.OLDEST`; nothing was changed.
        SeveralHeads: this program has more than one newest revision.
        TablesInUse: for five minutes, a load or a query always used a table that a revision changes.
    """
    given_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return await connected(dsn, partial(_upgrade, schemas=schemas))
        except DBAPIError as error:
            if sqlstate(error.orig) != _LOCK_NOT_AVAILABLE:
                raise
            if time.monotonic() > given_up:
                raise TablesInUse("A load, or a query, did not let go of a table for five minutes.") from error
        await asyncio.sleep(_LOCK_WAIT)


async def write_revision(dsn: str, schemas: Schemas, message: str) -> Path:
    """Write a revision with the differences between models and warehouse; a developer must check it.

    Args:
        dsn: of a warehouse at the newest revision.
        schemas: of the warehouse.
        message: what the revision does, in a few words; its file is named after it.
    """

    def write(connection: Connection) -> Path:
        config = configuration(connection, schemas)
        made = cast(Script, command.revision(config, message=message, autogenerate=True, rev_id=files.new_id()))
        return Path(made.path)

    return await connected(dsn, write)


async def revisions(dsn: str) -> tuple[str | None, str]:
    """The warehouse's present revision (`None`: none yet), and the revision that this program needs.

    Raises:
        SeveralHeads: this program has more than one newest revision.
    """
    return await connected(dsn, _revisions)


def configuration(connection: Connection, schemas: Schemas) -> Config:
    """Alembic's configuration for a connection."""
    config = files.configuration()
    config.attributes["connection"] = connection
    config.attributes["schemas"] = schemas
    return config


def _upgrade(connection: Connection, schemas: Schemas) -> str:
    check_version(str(connection.scalar(text("SHOW server_version"))))
    # The lock belongs to the transaction, so it ends with this process.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": _LOCK})
    # Before the revisions: a revision that a developer is about to write needs its schema.
    for schema in schemas.every:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}s'"))
    present, needed = _revisions(connection)
    if present is not None and not files.is_known(present):
        _log.warning("the schema is newer than this program", present=present, known=needed)
        return present  # revisions only add things, so an older program still works
    command.upgrade(configuration(connection, schemas), "head")
    enter_comments(connection, schemas.every)
    return needed


def _revisions(connection: Connection) -> tuple[str | None, str]:
    context = MigrationContext.configure(connection, opts={"version_table_schema": ingest.SCHEMA})
    return context.get_current_revision(), files.newest()


async def connected[T](dsn: str, act: Callable[[Connection], T]) -> T:
    """Run a function on a synchronous connection, in a transaction."""
    # asyncpg understands the whole DSN, also sslmode; SQLAlchemy does not.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn, command_timeout=300), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(act)
    finally:
        await engine.dispose()


async def grant_reader(dsn: str, schemas: Schemas, role: str, password: str) -> None:
    """Make the read-only role, or change its password. It may read the readable schemas, also later tables.

    Args:
        dsn: of the owner.
        schemas: of the warehouse.
        role: its name.
        password: in clear; Postgres keeps a SCRAM verifier of it.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", _LOCK)
            name, secret, database = await connection.fetchrow(
                "SELECT quote_ident($1), quote_literal($2), quote_ident(current_database())", role, password
            )
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
                await connection.execute(f"CREATE ROLE {name} LOGIN")
            await connection.execute(f"ALTER ROLE {name} PASSWORD {secret}")
            await connection.execute(f"ALTER ROLE {name} SET default_transaction_read_only = on")
            await connection.execute(f"ALTER ROLE {name} SET statement_timeout = '60s'")
            await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {name}")
            for schema in schemas.readable:
                await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
                await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name}")
                await connection.execute(
                    f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {name}"
                )
    finally:
        await connection.close()
