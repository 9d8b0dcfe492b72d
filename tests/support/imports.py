"""Importing zip codes from a sandbox through real workers in tests."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHistory

from config.fhir import FhirServerSettings, FhirSettings
from config.settings import Settings
from library.contracts.runs import Run
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.sources.fhir.starts import import_zipcode
from service.starts import RunHandle, Starter, run_id
from tests.support.runs import workbooks
from tests.support.sandbox import RunningSandbox, running_sandbox
from workflows.policies import QUEUES

SERVER = "sandbox"


def with_sandbox(
    settings: Settings, sandbox: RunningSandbox, *, own_bases: Sequence[str] = (), **fhir: Any
) -> Settings:
    """Settings whose one FHIR server is the sandbox."""
    another = (sandbox.another_url.rpartition("/")[0],) if sandbox.another_url else ()
    server = FhirServerSettings(base_url=sandbox.url, next_origins=another, own_bases=tuple(own_bases))
    # As hasty as a test needs it: small pages and batches, so that few resources make many of them.
    sizes = {"page_size": 20, "batch": 2, "overlap": 0.0, "rate": 1_000.0} | fhir
    return settings.model_copy(update={"fhir": FhirSettings(servers={SERVER: server}, **sizes)})


@dataclass(frozen=True)
class Imports:
    """Imports zip codes as `wardflow import zipcode` does, and compares what came of it."""

    starter: Starter
    runs: RunLog
    client: Client
    pool: Pool
    sandbox: RunningSandbox

    async def start(self, zipcode: str) -> RunHandle:
        """Start an import."""
        return await import_zipcode(self.starter, zipcode)

    async def closed(self, handle: RunHandle, seconds: float = 90) -> Run:
        """Wait for a run's end; the run."""
        with suppress(WorkflowFailureError):  # the run says why
            await asyncio.wait_for(handle.result(), seconds)
        found = await self.runs.get(run_id(handle))
        assert found is not None
        return found

    async def zipcode(self, zipcode: str) -> Run:
        """Import a zip code to the end."""
        return await self.closed(await self.start(zipcode))

    async def histories(self, run: Run) -> list[WorkflowHistory]:
        """Of every workflow that belongs to a run: its chain, and the parts."""
        query = f"WorkflowId STARTS_WITH '{run.workflow_id}'"
        found = [each async for each in self.client.list_workflows(query)]
        return [await self.client.get_workflow_handle(each.id, run_id=each.run_id).fetch_history() for each in found]

    def served(self, *zipcodes: str) -> dict[str, Counter[tuple[str, str]]]:
        """Id and version of the patients of zip codes, and of their observations, as the server has them."""
        patients = [
            each
            for each in self.sandbox.resources("Patient")
            if any(address.get("postalCode") in zipcodes for address in each.get("address", ()))
        ]
        references = {f"Patient/{each['id']}" for each in patients}
        observations = [
            each
            for each in self.sandbox.resources("Observation")
            if each.get("subject", {}).get("reference") in references
        ]
        return {
            "patient": Counter((each["id"], each["meta"]["versionId"]) for each in patients),
            "observation": Counter((each["id"], each["meta"]["versionId"]) for each in observations),
        }

    async def stored(self, *zipcodes: str) -> dict[str, Counter[tuple[str, str]]]:
        """The same as the warehouse has them."""
        patients = await self.pool.fetch(
            "SELECT id, version_id FROM fhir.patient WHERE server = $1 AND postal_codes && $2", SERVER, zipcodes
        )
        observations = await self.pool.fetch(
            "SELECT id, version_id FROM fhir.observation WHERE server = $1 AND patient_id = ANY ($2)",
            SERVER,
            [row["id"] for row in patients],
        )
        return {
            "patient": Counter((row["id"], row["version_id"]) for row in patients),
            "observation": Counter((row["id"], row["version_id"]) for row in observations),
        }

    async def assert_equal(self, *zipcodes: str) -> None:
        """The warehouse has what the server has: each version once, and nothing else."""
        served = self.served(*zipcodes)
        assert await self.stored(*zipcodes) == served
        assert set(served["observation"].values()) <= {1}

    async def assert_nothing_left(self) -> None:
        """No bookkeeping of a run, no link, no staged object of its loads."""
        assert await self.pool.fetchval("SELECT count(*) FROM fhir.import_patient") == 0


@asynccontextmanager
async def imports(
    settings: Settings,
    pool: Pool,
    store: ObjectStore,
    queues: Sequence[str] = QUEUES,
    *,
    faults: dict[str, Any] | None = None,
    sandbox: RunningSandbox | None = None,
    **fhir: Any,
) -> AsyncIterator[Imports]:
    """With a sandbox, unless one is given, and workers in this process for as long as the context lasts."""
    if sandbox is None:
        with running_sandbox(**(faults or {})) as made:
            async with imports(settings, pool, store, queues, sandbox=made, **fhir) as importing:
                yield importing
        return
    async with workbooks(with_sandbox(settings, sandbox, **fhir), pool, store, queues) as sent:
        yield Imports(sent.starter, sent.runs, sent.client, pool, sandbox)
