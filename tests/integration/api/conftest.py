"""The API in this process, on a database of its own, with workers that serve its runs."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import httpx
import pytest_asyncio

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.api import api_here
from tests.support.runs import NHS, Workbooks, workbooks

TWO = (
    NHS / "kh03" / "1920-Q3-Beds-Open-Overnight-Web_File-Final-DE5WC.xlsx",
    NHS / "superseded" / "Beds-Open-Overnight-Web_File-Final-Q3-2019-20-kg8gu.xlsx",
)


@dataclass(frozen=True)
class Client:
    """Calls the API as bearer of a token."""

    http: httpx.AsyncClient
    tokens: Tokens

    async def bearing(self, *scopes: str) -> dict[str, str]:
        """Headers of somebody with these scopes."""
        _, token = await self.tokens.create("test", scopes)
        return {"Authorization": f"Bearer {token}"}


async def refused_fields(api: Client, headers: dict[str, str], paths: Iterable[str]) -> dict[str, str]:
    """By path, the field that its refusal names."""
    answers = {path: await api.http.get(path, headers=headers) for path in paths}
    assert {answer.status_code for answer in answers.values()} == {422}
    return {path: answer.json()["field"] for path, answer in answers.items()}


@pytest_asyncio.fixture
async def api(settings: Settings, pool: Pool) -> AsyncIterator[Client]:
    """The API, and no worker."""
    async with api_here(settings) as http:
        yield Client(http, Tokens(pool))


@pytest_asyncio.fixture
async def operator(api: Client) -> dict[str, str]:
    """Headers of somebody who may do everything."""
    return await api.bearing(Scope.ADMIN)


@pytest_asyncio.fixture
async def sent(settings: Settings, pool: Pool, store: ObjectStore) -> AsyncIterator[Workbooks]:
    """Workers serve every queue."""
    async with workbooks(settings, pool, store) as made:
        yield made


@pytest_asyncio.fixture
async def two_editions(sent: Workbooks) -> Workbooks:
    """Two editions of one quarter are loaded, the newer one first."""
    for path in TWO:
        await sent.ingest(path)
    return sent
