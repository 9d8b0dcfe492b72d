"""A FHIR server that answers as a case from the field says, and imports from it through real workers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError

from config.fhir import FhirServerSettings, FhirSettings
from config.settings import Settings
from library.contracts.runs import Run
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.sources.fhir.starts import import_fhir_from, import_zipcode
from service.starts import RunHandle, Starter, run_id
from tests.support.runs import workbooks
from tests.unit.web.server import Server, answer, serving

CASES = Path(__file__).parents[1] / "data" / "cases"
NAME = "played"
BASE = "/app/FHIR/r4"
_IN_FILES = b"http://127.0.0.1:18999"


@dataclass(frozen=True)
class PlayedServer:
    """A FHIR server that knows only what a test tells it. Every other search finds nothing."""

    web: Server
    starter: Starter
    runs: RunLog
    client: Client
    pool: Pool

    def bytes_of(self, case: str, file: str) -> bytes:
        """A file of a case, with the address of this server."""
        return (CASES / case / file).read_bytes().replace(_IN_FILES, self.web.url("").encode())

    def answers(self, target: str, body: bytes | Mapping[str, Any], *headers: str, status: int = 200) -> None:
        """Answer a path, or a path with its query."""
        self.web.answers[target] = answer(
            body if isinstance(body, bytes) else json.dumps(body).encode(), *headers, status=status
        )

    async def zipcode(self, zipcode: str) -> Run:
        """Import a zip code to the end."""
        return await self.ended(await import_zipcode(self.starter, zipcode))

    async def export(self, path: str) -> Run:
        """Import an export by its URL to the end."""
        return await self.ended(await import_fhir_from(self.starter, self.web.url(path)))

    async def ended(self, handle: RunHandle) -> Run:
        """Wait for a run's end."""
        with suppress(WorkflowFailureError):  # the run says why
            await asyncio.wait_for(handle.result(), 60)
        found = await self.runs.get(run_id(handle))
        assert found is not None
        return found

    async def ids(self, table: str = "patient") -> list[str]:
        """The ids of what was loaded."""
        return [row["id"] for row in await self.pool.fetch(f"SELECT id FROM fhir.{table} ORDER BY id")]

    def asked(self, beginning: str) -> list[str]:
        """The targets of the calls that begin so, in order."""
        return [path for path in self.web.paths if path.startswith(beginning)]


def bundle(*resources: Mapping[str, Any], **elements: Any) -> dict[str, Any]:
    """A page of a search."""
    entries = [{"resource": dict(each), "search": {"mode": "match"}} for each in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries, **elements}


def patient(identity: str, postal_code: str = "10001", **elements: Any) -> dict[str, Any]:
    """A patient with one address."""
    return {"resourceType": "Patient", "id": identity, "address": [{"postalCode": postal_code}], **elements}


def observation(identity: str, of: str) -> dict[str, Any]:
    """An observation of a patient."""
    return {"resourceType": "Observation", "id": identity, "status": "final", "code": {"text": "height"},
            "subject": {"reference": f"Patient/{of}"}, "valueInteger": 1}  # fmt: skip


@asynccontextmanager
async def played(
    settings: Settings, pool: Pool, store: ObjectStore, *, server: Mapping[str, Any] | None = None, **fhir: Any
) -> AsyncIterator[PlayedServer]:
    """The server, with workers in this process for as long as the context lasts."""
    async with serving() as web:
        made = FhirServerSettings.model_validate({"base_url": web.url(BASE), **(server or {})})
        sizes = {"page_size": 20, "batch": 2, "overlap": 0.0, "rate": 1_000.0} | fhir
        configured = settings.model_copy(update={"fhir": FhirSettings(servers={NAME: made}, **sizes)})
        async with workbooks(configured, pool, store) as sent:
            played_server = PlayedServer(web, sent.starter, sent.runs, sent.client, pool)
            played_server.answers(f"{BASE}/Observation", bundle())
            yield played_server
