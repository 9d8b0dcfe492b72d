from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from library.web.guard import Guard
from tests.unit.web.server import Server, serving


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as made:
        yield made


@pytest.fixture
def guard(server: Server) -> Guard:
    """The local server is a listed private origin; `files.example.org` is an allowed public host."""
    return Guard(
        hosts=("files.example.org",),
        schemes=("https", "http"),
        ports=(443, 80),
        private_origins=(server.origin,),
        max_bytes=100_000,
        max_redirects=3,
        connect_timeout=2.0,
        read_timeout=2.0,
        deadline=5.0,
    )
