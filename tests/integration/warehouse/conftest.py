"""The made-up source, on a database of its own."""

import pytest_asyncio

from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.made_up import tables_sql
from tests.support.warehouse import MadeUpSource


@pytest_asyncio.fixture
async def made_up(pool: Pool, store: ObjectStore) -> MadeUpSource:
    """Its tables are there and empty."""
    for statement in tables_sql():
        await pool.execute(statement)
    return MadeUpSource(pool, store)
