from collections.abc import AsyncIterator

import pytest_asyncio

from config.settings import Settings
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.runs import Workbooks, workbooks


@pytest_asyncio.fixture
async def sent(settings: Settings, pool: Pool, store: ObjectStore) -> AsyncIterator[Workbooks]:
    """Workbooks are sent, and workers serve every queue."""
    async with workbooks(settings, pool, store) as made:
        yield made
