"""Several API processes on one warehouse: whatever one starts, the other knows."""

import asyncio

import httpx
import pytest

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.integration.api.conftest import TWO
from tests.support.processes import api_process
from tests.support.runs import workbooks


@pytest.mark.timeout(240)
async def test_what_one_process_starts_the_other_reads_repeats_and_cancels(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    _, token = await Tokens(pool).create("t", [Scope.ADMIN])
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    file = {"file": (TWO[0].name, TWO[0].read_bytes())}
    async with (
        api_process(settings) as one,
        api_process(settings) as other,
        httpx.AsyncClient(base_url=one.url, trust_env=False, timeout=60) as first,
        httpx.AsyncClient(base_url=other.url, trust_env=False, timeout=60) as second,
    ):
        started = await first.post("/nhs-data/upload", files=file, headers=headers)
        assert started.status_code == 202
        run = started.headers["location"]
        again = await second.post("/nhs-data/upload", files=file, headers=headers)
        assert (again.json(), again.headers["idempotency-replayed"]) == (started.json(), "true")
        assert (await second.get(run, headers=headers)).json()["state"] == "running"
        del headers["Idempotency-Key"]
        assert (await second.post(f"{run}/cancel", headers=headers)).status_code == 202
        async with workbooks(settings, pool, store), asyncio.timeout(60):  # a worker, to carry the cancellation out
            while (found := (await first.get(run, headers=headers)).json())["state"] == "running":  # noqa: ASYNC110 - another process changes it
                await asyncio.sleep(0.1)
        assert found["state"] == "cancelled"
        assert (await first.post("/codec", data={"token": token})).status_code == 303
        session = {"Cookie": f"wardflow_session={first.cookies['wardflow_session']}"}
        assert (await second.get("/temporal/api/v1/settings", headers=session)).status_code == 200
