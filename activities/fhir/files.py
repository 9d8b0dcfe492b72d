"""Activities of imports from NDJSON files: files of an export, or a file that was uploaded."""

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from temporalio import activity

from activities.fhir.imports import landed_ndjson
from activities.fhir.pages import FhirClients, server_call
from activities.fhir.reports import report_more
from activities.heartbeats import regular_heartbeats
from activities.staging import Stager
from library.contracts.loads import Staged
from library.contracts.objects import ObjectRef
from library.sources.fhir.client import FhirClient
from library.sources.fhir.contracts import PATIENT_UNKNOWN, SOURCE, StageFhir
from library.sources.fhir.file_contracts import (
    BeginExport,
    CountPatientUnknown,
    DownloadExported,
    FetchManifest,
    Manifest,
)
from library.sources.fhir.links import read_link, store_link
from library.sources.fhir.lookups import patient_unknown
from library.sources.fhir.manifest import manifest_of_one, read_manifest
from library.sources.fhir.ndjson import SUFFIXES, land_ndjson
from library.warehouse import ledger
from library.web.download import download
from library.web.guard import Guard
from library.web.kinds import Kind

_TEXT: tuple[Kind, ...] = ("text", "empty")


@dataclass(frozen=True)
class FhirFileActivities:
    """Download, land and stage the files of an export.

    Attributes:
        guard: the rules for downloads from other hosts than the servers of the settings.
    """

    stager: Stager
    clients: FhirClients
    guard: Guard

    @activity.defn(name="begin_export")
    async def begin_export(self, request: BeginExport) -> ObjectRef:
        """Start an export if the URL is one of an `$export`, and store the link to its status."""
        await self.stager.runs.enter_phase(request.run_id, "export")
        link = request.url
        client = self.clients.of_url(request.url, request.server)
        if client is not None and urlsplit(request.url).path.endswith("/$export"):
            async with server_call():
                link = await client.begin_export(request.url)
        return await asyncio.to_thread(store_link, self.stager.store, request.run_id, link)

    @activity.defn(name="fetch_manifest")
    async def fetch_manifest(self, request: FetchManifest) -> Manifest:
        """Fetch the export's list of files when it is ready."""
        link = await asyncio.to_thread(read_link, self.stager.store, request.link)
        client = self.clients.of_url(link, request.server)
        with tempfile.TemporaryDirectory(prefix="wardflow-manifest-") as name:
            path = Path(name) / "manifest"
            if urlsplit(link).path.endswith(SUFFIXES):
                path.write_bytes(manifest_of_one(link))
            elif client is not None:
                async with server_call():
                    path.write_bytes(await client.manifest(link))
            else:
                await download(link, path, self.guard, expect=_TEXT, progress=_heartbeat)
            read = read_manifest(path.read_bytes())
            kept = await asyncio.to_thread(store_link, self.stager.store, request.run_id, path.read_text())
        return Manifest(object=kept, files=len(read.files), at=read.at)

    @activity.defn(name="download_exported")
    async def download_exported(self, request: DownloadExported) -> ObjectRef:
        """Download one file of an export, and land it."""
        await self.stager.runs.enter_phase(request.run_id, "files")
        manifest = await asyncio.to_thread(read_link, self.stager.store, request.manifest)
        url = read_manifest(manifest.encode()).files[request.number]
        client = self.clients.of_url(url, request.server)
        with tempfile.TemporaryDirectory(prefix="wardflow-export-") as name:
            path = Path(name) / "file.ndjson"
            await self._fetch(client, url, path)
            limit = self.clients.settings.max_file_bytes
            landed = await asyncio.to_thread(land_ndjson, self.stager.store, SOURCE, path, limit)
        return landed.model_copy(update={"landed_at": datetime.now(UTC)})  # the same bytes may have been landed before

    @activity.defn(name="stage_fhir")
    async def stage_fhir(self, request: StageFhir) -> Staged:
        """Read a landed file, and stage its rows."""
        landed = await landed_ndjson(self.stager.pool, request, self.clients.settings, file=True)
        return await self.stager.stage(landed)

    @activity.defn(name="count_patient_unknown")
    async def count_patient_unknown(self, request: CountPatientUnknown) -> int:
        """Count the observations whose patient is unknown, and more, for the report of a run with one file."""
        pool = self.stager.pool
        async with regular_heartbeats():
            loads = await ledger.loads_behind(pool, request.run_id, [request.load_id])
            unknown = await patient_unknown(pool, loads)
            await report_more(pool, self.stager.runs, request.run_id, loads)
        await self.stager.runs.report(request.run_id, {PATIENT_UNKNOWN: unknown})
        return unknown

    async def _fetch(self, client: FhirClient | None, url: str, path: Path) -> None:
        if client is None:
            await download(url, path, self.guard, expect=(*_TEXT, "gzip"), progress=_heartbeat)
        else:
            async with server_call():
                await client.download(url, path, _heartbeat)


def _heartbeat(_: int) -> None:
    activity.heartbeat()
