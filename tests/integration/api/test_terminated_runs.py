"""A run whose workflow was terminated in Temporal's Web UI is shown as ended, also without a worker."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from config.settings import Settings
from library.contracts.runs import ABANDONED
from library.warehouse.pool import Pool
from service.api.routes import runs
from service.temporal import connect
from tests.integration.api.conftest import TWO, Client


@dataclass(frozen=True)
class Open:
    """A run without a worker."""

    api: Client
    settings: Settings
    headers: dict[str, str]
    id: str

    async def terminate(self) -> None:
        """End its workflow, as the Web UI's button does."""
        found = await self.answer(f"/runs/{self.id}")
        await (await connect(self.settings)).get_workflow_handle(found["workflow_id"]).terminate("by hand")

    async def answer(self, path: str) -> dict[str, Any]:
        """What a route says of it."""
        found: dict[str, Any] = (await self.api.http.get(path, headers=self.headers)).json()
        return found

    async def states(self) -> list[str]:
        """The states that its stream of events tells of, once it has come to its end."""
        async with asyncio.timeout(30):
            events = (await self.api.http.get(f"/runs/{self.id}/events", headers=self.headers)).text
        return [json.loads(line.removeprefix("data: "))["state"] for line in events.splitlines() if line[:5] == "data:"]


@pytest_asyncio.fixture
async def run(api: Client, operator: dict[str, str], settings: Settings) -> AsyncIterator[Open]:
    """An uploaded workbook's, with no worker up."""
    files = {"file": (TWO[1].name, TWO[1].read_bytes())}
    answer = await api.http.post("/nhs-data/upload", headers=operator, files=files)
    yield Open(api, settings, operator, answer.json()["run_id"])


async def test_its_status_says_so_at_once(run: Open) -> None:
    assert (await run.answer(f"/nhs-data/status/{run.id}"))["state"] == "running"
    await run.terminate()
    found = await run.answer(f"/nhs-data/status/{run.id}")
    assert (found["state"], found["error"]["type"]) == ("failed", ABANDONED)


async def test_a_cancel_finds_that_it_has_ended(run: Open) -> None:
    await run.terminate()
    answer = await run.api.http.post(f"/runs/{run.id}/cancel", headers=run.headers)
    assert (answer.status_code, answer.json()["state"]) == (202, "failed")


async def test_events_that_are_asked_for_afterwards_say_that_and_nothing_else(run: Open) -> None:
    await run.terminate()
    assert await run.states() == ["failed"]


async def test_events_that_are_under_way_come_to_their_end(run: Open) -> None:
    states = asyncio.create_task(run.states())
    await asyncio.sleep(2 * runs._LOOK_EVERY)
    await run.terminate()
    assert await states == ["running", "failed"]


async def test_events_continue_after_postgres_has_failed_for_a_while(run: Open, pool: Pool) -> None:
    states = asyncio.create_task(run.states())
    await asyncio.sleep(2 * runs._LOOK_EVERY)
    before = await failed_statements(pool)
    await pool.execute("ALTER TABLE ingest.run RENAME TO run_away")
    async with asyncio.timeout(20):
        while await failed_statements(pool) == before:  # noqa: ASYNC110 - Postgres has no event for it
            await asyncio.sleep(0.1)
    await pool.execute("ALTER TABLE ingest.run_away RENAME TO run")
    await run.terminate()
    assert await states == ["running", "failed"]


async def failed_statements(pool: Pool) -> int:
    """How many statements have failed in this test's database."""
    query = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return int(await pool.fetchval(query))
