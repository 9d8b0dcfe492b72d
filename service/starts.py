"""Starting runs: land what arrived, start its workflow, enter the run. No run without a stored object."""

import asyncio
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import structlog
from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from config.settings import Settings
from library.contracts.base import Contract
from library.contracts.loads import LoadResult
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunStarted, RunTotals
from library.objects.store import ObjectStore, Progress
from library.sources.beds.contracts import IngestWorkbook, WorkbookTooLarge
from library.sources.beds.staging import SOURCE, workbook_identity
from library.sources.fhir.client import is_at
from library.sources.fhir.contracts import (
    FILE,
    ImportZipcode,
    InvalidZipcode,
    Pace,
    UnknownServer,
)
from library.sources.fhir.file_contracts import ImportFhir
from library.sources.fhir.ndjson import land_ndjson
from library.sources.fhir.staging import SOURCE as FHIR_SOURCE
from library.sources.fhir.staging import fhir_identity
from library.warehouse import ledger
from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from library.web.urls import check_url
from service.addresses import postgres_server, store_server, temporal_server
from service.resources import download_guard, file_guard
from service.temporal import request_error
from service.waiting import waiting_for
from workflows.policies import WORKFLOWS
from workflows.runs import SOURCE as SOURCE_ATTRIBUTE

_log = structlog.get_logger(__name__)

EXCEL = {
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

type RunHandle = WorkflowHandle[Any, Any]
"""Its result is a `LoadResult`, or `RunTotals` where the run has many loads."""


@dataclass(frozen=True)
class Starter:
    """Lands objects and starts runs."""

    settings: Settings
    client: Client
    store: ObjectStore
    pool: Pool

    async def land_workbook(self, path: Path, *, progress: Progress = lambda _: None) -> ObjectRef:
        """Store a workbook's bytes.

        Raises:
            WorkbookTooLarge: it has more bytes than a workbook may have; nothing was stored.
        """
        if (size := path.stat().st_size) > (limit := self.settings.workbook.max_bytes):
            raise WorkbookTooLarge(f"The file has {size:,} bytes; {limit:,} are allowed.")
        content_type = EXCEL.get(path.suffix.lower(), "application/octet-stream")
        return await self._land(partial(self.store.land, SOURCE, path, content_type=content_type), progress)

    async def ingest_workbook(self, workbook: ObjectRef, *, subject: str, reload: bool = False) -> RunHandle:
        """Start the run of a landed workbook, or join the one that is open.

        Args:
            workbook: the landed bytes; their sha256 is the run's business identity.
            subject: the file's name, for people; it is kept in `ingest.run` and stays out of Temporal.
            reload: load it once more although the ledger has it.
        """
        number = await ledger.next_reload(self.pool, workbook_identity(workbook)) if reload else 0
        return await self.start(
            "ingest-workbook",
            IngestWorkbook(workbook=workbook, reload=number),
            workflow_id=f"workbook-{workbook.sha256}" + (f"-reload-{number}" if number else ""),
            source=SOURCE,
            subject=subject,
            object_key=workbook.key,
        )

    async def ingest_workbook_from(self, url: str) -> RunHandle:
        """Start the run of a workbook that is to be downloaded, or join the one that is open.

        Raises:
            UrlNotAllowed: the URL itself shows that it must not be asked for.
        """
        check_url(url, download_guard(self.settings))
        return await self.start(
            "ingest-workbook",
            IngestWorkbook(url=url),
            workflow_id=f"workbook-url-{hashlib.sha256(url.encode()).hexdigest()[:32]}",
            source=SOURCE,
            subject=urlsplit(url).path.rsplit("/", 1)[-1] or "workbook",
            object_key=None,
        )

    async def import_zipcode(self, zipcode: str, *, server: str | None = None) -> RunHandle:
        """Start the import of a zip code's patients and observations, or join the one that is open.

        Args:
            zipcode: as patients' addresses have it.
            server: a FHIR server of the settings; unless given, the default one.

        Raises:
            InvalidZipcode: it is none.
            UnknownServer: there is none of this name.
        """
        fhir = self.settings.fhir
        name = self._server(server)
        if not re.fullmatch(fhir.zipcode, zipcode):
            raise InvalidZipcode("This is no zip code.")
        large = math.ceil(fhir.large_zipcode / fhir.batch)
        pace = Pace(window=fhir.window, large=large, part=fhir.part, events=fhir.history)
        return await self.start(
            "import-zipcode",
            ImportZipcode(server=name, zipcode=zipcode, pace=pace),
            workflow_id=f"zipcode-{name}-{quote(zipcode, safe='')}",
            source=FHIR_SOURCE,
            subject=f"{zipcode} at {name}",
            object_key=None,
            one_load=False,
        )

    async def land_fhir(self, path: Path, *, progress: Progress = lambda _: None) -> ObjectRef:
        """Store the lines of an NDJSON file, plain or gzip: what is stored, and loaded once, are the lines.

        It counts as landed when it was begun to be sent, though its bytes may have been here before.

        Raises:
            PageTooLarge: it has more bytes than a file may have; nothing was stored.
            FileDamaged: it is compressed, and damaged.
        """
        limit, began = self.settings.fhir.max_file_bytes, datetime.now(UTC)
        landed = await self._land(partial(land_ndjson, self.store, FHIR_SOURCE, path, limit), progress)
        return landed.model_copy(update={"landed_at": began})

    async def import_fhir(
        self, landed: ObjectRef, *, subject: str, server: str | None = None, reload: bool = False
    ) -> RunHandle:
        """Start the import of a landed NDJSON file, or join the one that is open.

        Args:
            landed: the file's bytes.
            subject: the file's name, for people; it stays out of Temporal.
            server: whose patients these are; unless given, their server is `file`.
            reload: load it once more although the ledger has it.

        Raises:
            UnknownServer: there is none of this name.
        """
        name = self._whose(server) if server else FILE
        identity = fhir_identity(landed, name)
        number = await ledger.next_reload(self.pool, identity) if reload else 0
        if not reload and (before := await ledger.as_of(self.pool, identity)):
            landed = landed.model_copy(update={"landed_at": before})  # a newer reader reads it, as of the same time
        return await self.start(
            "import-fhir",
            ImportFhir(server=name, landed=landed, reload=number),
            workflow_id=f"fhir-{name}-{landed.sha256}" + (f"-reload-{number}" if number else ""),
            source=FHIR_SOURCE,
            subject=subject,
            object_key=landed.key,
        )

    async def import_fhir_from(self, url: str, *, server: str | None = None) -> RunHandle:
        """Start the import of an export, or join the one that is open.

        Args:
            url: `$export` at a server of the settings, an export's manifest or state, or an NDJSON file.
            server: whose patients these are; unless given, the server of the settings that the URL leads to, or `file`.

        Raises:
            UrlNotAllowed: the URL itself shows that it must not be asked for.
            UnknownServer: there is none of this name.
        """
        fhir = self.settings.fhir
        own = next((name for name, each in fhir.by_name.items() if is_at(url, each)), None)
        if own is None:
            check_url(url, file_guard(self.settings))
        name = self._whose(server) if server else own or FILE
        return await self.start(
            "import-fhir",
            ImportFhir(server=name, url=url, events=fhir.history),
            workflow_id=f"fhir-url-{hashlib.sha256(f'{name} {url}'.encode()).hexdigest()[:32]}",
            source=FHIR_SOURCE,
            subject=f"{urlsplit(url).path.rsplit('/', 1)[-1] or 'export'} of {name}",
            object_key=None,
            one_load=False,
        )

    def _whose(self, server: str) -> str:
        return FILE if server == FILE else self._server(server)

    def _server(self, name: str | None) -> str:
        known = self.settings.fhir.by_name
        if name is not None and name not in known:
            raise UnknownServer(f"No FHIR server has this name; there are {', '.join(sorted(known))}.")
        return name or self.settings.fhir.default

    async def start(
        self,
        workflow: str,
        request: Contract,
        *,
        workflow_id: str,
        source: str,
        subject: str,
        object_key: str | None,
        one_load: bool = True,
    ) -> RunHandle:
        """Start a workflow, or join the one that is open under its id, and enter its run.

        Args:
            workflow: its name.
            request: its input.
            workflow_id: a business identity: the same work has the same id, and so happens once at a time.
            source: whose run it is.
            subject: what it is about, for people.
            object_key: the landed object that it reads, if it is known already.
            one_load: whether one load is all of it.

        Raises:
            TemporalUnavailable: Temporal does not answer.
            TemporalRefused: it answers, and does not take the start.
        """
        try:
            with waiting_for(temporal_server(self.settings), "it has not taken the run yet"):
                handle = await self.client.start_workflow(
                    workflow,
                    request,
                    id=self.settings.worker.queue_prefix + workflow_id,
                    task_queue=self.settings.worker.queue_prefix + WORKFLOWS,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    result_type=LoadResult if one_load else RunTotals,
                    search_attributes=TypedSearchAttributes([SearchAttributePair(SOURCE_ATTRIBUTE, source)]),
                )
        except RPCError as error:
            raise request_error(error) from error
        started = RunStarted(
            run_id=run_id(handle),
            workflow_id=handle.id,
            workflow=workflow,
            source=source,
            subject=subject,
            started_at=datetime.now(UTC),
            object_key=object_key,
            one_load=one_load,
        )
        try:
            with waiting_for(postgres_server(self.settings), "the run is entered there"):
                await RunLog(self.pool).begin(started)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            # The run is under way whatever Postgres says now; its first step enters it.
            _log.warning("run not entered by its starter", run_id=started.run_id, error=type(error).__name__)
        return handle

    async def _land(self, land: Callable[..., ObjectRef], progress: Progress) -> ObjectRef:
        loop = asyncio.get_running_loop()
        with waiting_for(store_server(self.settings), "a file is prepared and sent to it") as waiting:

            def sent(size: int) -> None:
                progress(size)
                loop.call_soon_threadsafe(waiting.begin)

            return await asyncio.to_thread(land, progress=sent)


def run_id(handle: RunHandle) -> str:
    """The run's id: the first run id of its execution chain."""
    return handle.first_execution_run_id or handle.result_run_id or ""
