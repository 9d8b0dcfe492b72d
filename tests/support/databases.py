"""Databases for tests: copies of one that was migrated once."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg

from library.warehouse import schema

_TEMPLATE = "wardflow_template"


def named(dsn: str, database: str) -> str:
    """The DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


async def make_database(dsn: str, name: str) -> None:
    """Make a migrated database."""
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", _TEMPLATE):
            await connection.execute(f"CREATE DATABASE {_TEMPLATE}")
            await schema.upgrade(named(dsn, _TEMPLATE))
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    finally:
        await connection.close()
