"""Activities of imports from NDJSON files: of an export, or landed by whoever started the run."""

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from temporalio import activity

from activities.beating import beating
from activities.fhir.imports import landed_ndjson
from activities.fhir.pages import FhirClients, calling
from activities.staging import Stager
from library.contracts.loads import Staged
from library.contracts.objects import ObjectRef
from library.sources.fhir.client import FhirClient
from library.sources.fhir.contracts import PATIENT_UNKNOWN, StageFhir
from library.sources.fhir.file_contracts import (
    BeginExport,
    CountPatientUnknown,
    DownloadExported,
    FetchManifest,
    Manifest,
)
from library.sources.fhir.links import read_link, store_link
from library.sources.fhir.manifest import manifest_of_one, read_manifest
from library.sources.fhir.ndjson import SUFFIXES, land_ndjson
from library.sources.fhir.queries import patient_unknown
from library.sources.fhir.staging import SOURCE
from library.warehouse import ledger
from library.web.download import download
from library.web.guard import Guard
from library.web.kinds import Kind

_TEXT: tuple[Kind, ...] = ("text", "empty")


@dataclass(frozen=True)
class FhirFileActivities:
    """Files of exports are downloaded, landed and staged.

    Attributes:
        guard: of downloads elsewhere than at the servers of the settings.
    """

    stager: Stager
    clients: FhirClients
    guard: Guard

    @activity.defn(name="begin_export")
    async def begin_export(self, asked: BeginExport) -> ObjectRef:
        """Ask a server for an export, where the URL is that of one; keep where its state can be asked for."""
        await self.stager.runs.enter_phase(asked.run_id, "export")
        link = asked.url
        client = self.clients.of_url(asked.url, asked.server)
        if client is not None and urlsplit(asked.url).path.endswith("/$export"):
            async with calling():
                link = await client.begin_export(asked.url)
        return await asyncio.to_thread(store_link, self.stager.store, asked.run_id, link)

    @activity.defn(name="fetch_manifest")
    async def fetch_manifest(self, asked: FetchManifest) -> Manifest:
        """The export's list of files, once it is there."""
        link = await asyncio.to_thread(read_link, self.stager.store, asked.link)
        client = self.clients.of_url(link, asked.server)
        with tempfile.TemporaryDirectory(prefix="wardflow-manifest-") as name:
            path = Path(name) / "manifest"
            if urlsplit(link).path.endswith(SUFFIXES):
                path.write_bytes(manifest_of_one(link))
            elif client is not None:
                async with calling():
                    path.write_bytes(await client.manifest(link))
            else:
                await download(link, path, self.guard, expect=_TEXT, progress=_beat)
            read = read_manifest(path.read_bytes())
            kept = await asyncio.to_thread(store_link, self.stager.store, asked.run_id, path.read_text())
        return Manifest(object=kept, files=len(read.files), at=read.at)

    @activity.defn(name="download_exported")
    async def download_exported(self, asked: DownloadExported) -> ObjectRef:
        """One file of an export, landed."""
        await self.stager.runs.enter_phase(asked.run_id, "files")
        manifest = await asyncio.to_thread(read_link, self.stager.store, asked.manifest)
        url = read_manifest(manifest.encode()).files[asked.number]
        client = self.clients.of_url(url, asked.server)
        with tempfile.TemporaryDirectory(prefix="wardflow-export-") as name:
            path = Path(name) / "file.ndjson"
            await self._fetch(client, url, path)
            limit = self.clients.settings.max_file_bytes
            landed = await asyncio.to_thread(land_ndjson, self.stager.store, SOURCE, path, limit)
        return landed.model_copy(update={"landed_at": datetime.now(UTC)})  # the bytes may have been here before

    @activity.defn(name="stage_fhir")
    async def stage_fhir(self, asked: StageFhir) -> Staged:
        """Read a landed file into staged objects."""
        return await self.stager.stage(await landed_ndjson(self.stager.pool, asked, file=True))

    @activity.defn(name="count_patient_unknown")
    async def count_patient_unknown(self, asked: CountPatientUnknown) -> int:
        """Count, for the report of a run that is one file, the observations whose patient is unknown."""
        pool = self.stager.pool
        async with beating():
            loads = await ledger.loads_behind(pool, asked.run_id, [asked.load_id])
            unknown = await patient_unknown(pool, loads)
        await self.stager.runs.report(asked.run_id, {PATIENT_UNKNOWN: unknown})
        return unknown

    async def _fetch(self, client: FhirClient | None, url: str, path: Path) -> None:
        if client is None:
            await download(url, path, self.guard, expect=(*_TEXT, "gzip"), progress=_beat)
        else:
            async with calling():
                await client.download(url, path, _beat)


def _beat(_: int) -> None:
    activity.heartbeat()
