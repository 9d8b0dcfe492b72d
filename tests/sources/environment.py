"""The product as a sender and an operator of a source use it: API, commands and tables."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.datasets.declaration import Dataset
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.resources import source_feeds
from service.sources.source import Source
from service.temporal import connect
from service.worker.parts import Resources
from tests.faults.harness import environment_of
from tests.support.api import api_here
from tests.support.commands import Commands
from tests.support.workers import serving

LOOK_EVERY = 0.1
PATIENCE = 90.0
"""Seconds that a run may take; much more than on an idle machine."""


@dataclass(frozen=True)
class Sent:
    """How a sending ended.

    Attributes:
        result: the run's result, such as `loaded`; empty where all was refused.
        error: the type of the error that refused it.
        advice: the error's advice.
        run: the run as the API shows it; `None` where no run is needed.
    """

    result: str = ""
    error: str = ""
    advice: str = ""
    run: dict[str, Any] | None = None


@dataclass(frozen=True)
class SourceEnvironment:
    """The servers, database and queues of one test of a source.

    Attributes:
        http: a client of the API with an administrator's token.
        commands: the command line.
        datasets: the datasets of the tested source.
    """

    settings: Settings
    client: Client
    pool: Pool
    store: ObjectStore
    http: httpx.AsyncClient
    commands: Commands
    datasets: Sequence[Dataset]

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run workers of every queue in this process."""
        async with serving(Resources(self.settings, self.client, self.pool, self.store)):
            await self.drain()
            try:
                yield
            finally:
                await self.terminate_running_workflows()

    async def drain(self) -> None:
        """Start the drains of every topic at once; the schedule starts them within a minute."""
        for feed in source_feeds(self.settings) if self.settings.kafka.enabled else ():
            answer = await self.http.post(f"/streams/{feed.topic}/resume")
            assert answer.status_code == 200, answer.text

    async def terminate_running_workflows(self) -> None:
        """Terminate workflows that never end, so that no later worker of these queues finds them."""
        async for each in self.client.list_workflows(f"{self._ours} AND ExecutionStatus = 'Running'"):
            with suppress(RPCError):  # it has just ended
                await self.client.get_workflow_handle(each.id, run_id=each.run_id).terminate()

    async def upload(self, path: str, name: str, content: bytes) -> Sent:
        """Send a file to a route that takes files, and wait for its run."""
        answer = await self.http.post(path, files={"file": (name, content)})
        if answer.status_code != 202:
            return refused(answer)
        return await self.ended(answer.json()["run_id"])

    async def ended(self, run_id: str) -> Sent:
        """Wait for a run's end."""
        async with asyncio.timeout(PATIENCE):
            while (run := (await self.http.get(f"/runs/{run_id}")).json())["state"] == "running":  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY)
        error = run["error"] or {"type": "", "advice": ""}
        return Sent(run["result"] or "", error["type"], error["advice"], run)

    async def rows(self) -> dict[str, int]:
        """How many rows each of the source's tables has; a table without rows is left out."""
        counts = {each.name: await self.pool.fetchval(f"SELECT count(*) FROM {each.name}") for each in self.datasets}
        return {name: count for name, count in counts.items() if count}

    async def versions(self) -> list[tuple[str, ...]]:
        """The transaction and the place of each row. If they are equal, nothing was written."""
        found: list[tuple[str, ...]] = []
        for each in self.datasets:
            rows = await self.pool.fetch(f"SELECT xmin::text, ctid::text FROM {each.name} ORDER BY ctid")
            found += [(each.name, *row) for row in rows]
        return found

    async def contents(self) -> list[str]:
        """The rows as text, without the loads that wrote them."""
        found = []
        for each in self.datasets:
            columns = ", ".join(f'"{name}"' for name in (*each.key, *each.values))
            rows = await self.pool.fetch(f"SELECT to_jsonb(t)::text FROM (SELECT {columns} FROM {each.name}) t")
            found += [f"{each.name} {row[0]}" for row in rows]
        return sorted(found)

    async def reasons(self) -> list[list[str]]:
        """Why rows were refused."""
        return [row[0] for row in await self.pool.fetch("SELECT reasons FROM ingest.rejection ORDER BY id")]

    async def histories(self) -> list[WorkflowHistory]:
        """The histories of every workflow on this test's queues."""
        found = [each async for each in self.client.list_workflows(self._ours)]
        return [await self.client.get_workflow_handle(each.id, run_id=each.run_id).fetch_history() for each in found]

    async def workflow_list(self) -> str:
        """The ids, search attributes and memos that a list of the workflows shows."""
        found = [each async for each in self.client.list_workflows(self._ours)]
        return "\n".join(
            [
                f"{each.id} {each.search_attributes!r} {each.typed_search_attributes!r} {await each.memo()!r}"
                for each in found
            ]
        )

    @property
    def _ours(self) -> str:
        return f"WorkflowId STARTS_WITH '{self.settings.worker.queue_prefix}'"

    async def bookkeeping(self) -> str:
        """Runs, loads and audit as text."""
        queries = (
            "SELECT to_jsonb(run) - 'subject' FROM ingest.run run",  # the file's name, for people
            "SELECT to_jsonb(load) FROM ingest.load load",
            "SELECT to_jsonb(row) FROM access.audit row",
        )
        found = [await self.pool.fetch(query) for query in queries]
        return "\n".join(json.dumps(row[0]) for rows in found for row in rows)


def refused(answer: httpx.Response) -> Sent:
    """The error of a problem document."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return Sent(error=problem["type"], advice=problem["advice"] or "")


@asynccontextmanager
async def open_environment(
    settings: Settings, pool: Pool, store: ObjectStore, source: Source
) -> AsyncIterator[SourceEnvironment]:
    """Open an environment with the database and queues of one test."""
    _, token = await Tokens(pool).create("suite", [Scope.ADMIN])
    variables = environment_of(settings) | {"WARDFLOW_KAFKA__ENABLED": str(settings.kafka.enabled)}
    async with api_here(settings, token=token) as http:
        client = await connect(settings)
        yield SourceEnvironment(settings, client, pool, store, http, Commands(variables), source.datasets)
