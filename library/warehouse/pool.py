"""Connections to the warehouse."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

type Pool = asyncpg.Pool[asyncpg.Record]
type Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


async def create_pool(
    dsn: str,
    *,
    size: int,
    application_name: str = "wardflow",
    statement_timeout: float | None = None,
    stateless: bool = False,
) -> Pool:
    """A pool whose connections read and write `jsonb` as Python values.

    Args:
        dsn: postgresql://…
        size: maximum number of connections. The first is opened now, so a wrong address fails at once.
        statement_timeout: seconds that a statement may take; `None`: the server's setting.
        stateless: the caller leaves no state on a connection (no settings, no session locks). Then a returned
            connection is not reset, which saves a round trip.
        application_name: the name in `pg_stat_activity` while no load runs on the connection.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        init=_prepare,
        reset=_as_it_is if stateless else None,
        server_settings={
            "application_name": application_name,
            # A client that vanished (a pulled cable) is noticed within a minute, not two hours.
            "tcp_keepalives_idle": "30",
            "tcp_keepalives_interval": "10",
            "tcp_keepalives_count": "3",
        }
        | ({} if statement_timeout is None else {"statement_timeout": f"{statement_timeout * 1000:.0f}ms"}),
    )


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """A transaction whose commit is not cancelled. So afterwards it is known whether it was committed."""
    begun = connection.transaction()
    await begun.start()
    try:
        yield
    except BaseException:
        await begun.rollback()
        raise
    commit = asyncio.ensure_future(begun.commit())
    try:
        await asyncio.shield(commit)
    except asyncio.CancelledError:
        await commit
        raise


async def _as_it_is(connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    """Do not reset a returned connection."""


async def _prepare(connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
