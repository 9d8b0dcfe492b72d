"""Slow downloads of CSV do not block pages."""

import asyncio
from http import HTTPStatus

import httpx

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from tests.faults.harness import until_async
from tests.support.processes import api_process

ROWS, BYTES = 30_000, 2_000
"""Larger than the sockets' and queues' buffers of a download that is not read."""


async def test_a_download_that_nobody_reads_leaves_connections_to_pages(settings: Settings, pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO ingest.rejection (load_id, source, dataset, object_key, line, reasons) "
        "SELECT gen_random_uuid(), 'fhir', 'fhir.patient', 'x', number, ARRAY[repeat('x', $2)] "
        "FROM generate_series(1, $1::int) number",
        ROWS,
        BYTES,
    )
    _, token = await Tokens(pool).create("t", [Scope.ADMIN])
    headers = {"Authorization": f"Bearer {token}"}
    as_csv = headers | {"Accept": "text/csv"}
    async with (
        api_process(settings, POSTGRES__POOL_SIZE="2") as process,
        httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=30) as client,
    ):
        async with client.stream("GET", "/quarantine", headers=as_csv) as unread:
            assert unread.status_code == HTTPStatus.OK
            chunks = unread.aiter_raw()
            await anext(chunks)  # and no more of them
            refused = await client.get("/quarantine", headers=as_csv)
            assert (refused.status_code, refused.json()["type"]) == (503, "TooManyDownloads")
            assert refused.headers["retry-after"] == "5"
            pages = await asyncio.gather(*(client.get("/quarantine?limit=1", headers=headers) for _ in range(10)))
            assert {page.status_code for page in pages} == {HTTPStatus.OK}

        async def let_in() -> bool:
            return (await client.get("/quarantine?limit=3", headers=as_csv)).status_code == HTTPStatus.OK

        await until_async(let_in)
