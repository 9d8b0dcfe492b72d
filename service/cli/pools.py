"""The warehouse, for commands that do little else than ask it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.settings import Settings
from library.warehouse.pool import Pool
from service.addresses import postgres_server
from service.resources import warehouse
from service.waiting import waiting_for


@asynccontextmanager
async def open_warehouse(settings: Settings, *, size: int = 1) -> AsyncIterator[Pool]:
    """A pool of connections. A wait of more than two seconds is reported."""
    async with warehouse(settings, size=size) as pool:
        with waiting_for(postgres_server(settings), "its answer is not there yet", gives_way=True):
            yield pool
