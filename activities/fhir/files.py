"""Activities of imports from NDJSON files: files of an export, or a file that was uploaded."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from temporalio import activity

from activities.fhir.imports import landed_ndjson
from activities.fhir.pages import FhirClients, server_call
from activities.fhir.reports import report_more
from activities.heartbeats import regular_heartbeats
from activities.staging import Landed, Stager
from library.contracts.errors import WardflowError
from library.contracts.loads import Staged
from library.contracts.objects import ObjectRef
from library.contracts.web import UrlNotAllowed
from library.sources.fhir.contracts import PATIENT_UNKNOWN, SOURCE, StageFhir
from library.sources.fhir.delivery import Delivery
from library.sources.fhir.errors import PageLoops, ServerRefused
from library.sources.fhir.file_contracts import (
    BeginExport,
    CountPatientUnknown,
    DownloadExported,
    ExportedFile,
    FetchManifest,
    Manifest,
    ReadNotices,
)
from library.sources.fhir.links import read_link, store_link
from library.sources.fhir.lookups import patient_unknown
from library.sources.fhir.manifest import ReadManifest, manifest_of_one, read_manifest
from library.sources.fhir.ndjson import SUFFIXES, inflated, land_ndjson
from library.sources.fhir.notices import read_deletions, read_errors
from library.sources.fhir.reading import reader_settings
from library.sources.fhir.staging import fhir_identity
from library.warehouse import ledger
from library.web.download import download
from library.web.guard import Guard
from library.web.kinds import Kind

_TEXT: tuple[Kind, ...] = ("text", "empty")
_PAGES = 1_000
"""Most pages of a manifest."""
_FILE: tuple[Kind, ...] = (*_TEXT, "gzip")


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
        manifest = await self._manifest_page(link, request.server)
        seen, unread = {link}, 0
        while (following := manifest.next_link) and not unread:
            try:
                if following in seen or len(seen) >= _PAGES:
                    raise PageLoops("The pages of the manifest do not end.")
                page = await self._manifest_page(following, request.server)
            except WardflowError as error:
                if error.retryable:
                    raise  # the page may not be ready yet
                unread = 1
            else:
                seen.add(following)
                manifest = manifest.followed_by(page)
        kept = await asyncio.to_thread(store_link, self.stager.store, request.run_id, manifest.encoded().decode())
        notices = len(manifest.errors) + len(manifest.deletions)
        return Manifest(object=kept, files=len(manifest.files), at=manifest.at, notices=notices, unread_pages=unread)

    async def _manifest_page(self, link: str, server: str) -> ReadManifest:
        if urlsplit(link).path.endswith(SUFFIXES):
            return read_manifest(manifest_of_one(link))
        client = self.clients.of_url(link, server)
        with tempfile.TemporaryDirectory(prefix="wardflow-manifest-") as name:
            path = Path(name) / "manifest"
            if client is None:
                await download(link, path, self.guard, expect=_TEXT, progress=_heartbeat)
            else:
                async with server_call():
                    try:
                        path.write_bytes(await client.manifest(link))
                    except ServerRefused as refusal:
                        await self._redirected(refusal, path, _TEXT)
            return read_manifest(path.read_bytes(), url=link)

    @activity.defn(name="download_exported")
    async def download_exported(self, request: DownloadExported) -> ExportedFile:
        """Download one file of an export, and land it."""
        await self.stager.runs.enter_phase(request.run_id, "files")
        file = (await self._stored_manifest(request.manifest)).files[request.number]
        with tempfile.TemporaryDirectory(prefix="wardflow-export-") as name:
            path = Path(name) / "file.ndjson"
            await self._fetch(file.url, request.server, path)
            limit = self.clients.settings.max_file_bytes
            landed = await asyncio.to_thread(land_ndjson, self.stager.store, SOURCE, path, limit)
        # The same bytes may have been landed before.
        return ExportedFile(**landed.model_dump() | {"landed_at": datetime.now(UTC)}, count=file.count)

    @activity.defn(name="read_notices")
    async def read_notices(self, request: ReadNotices) -> Delivery:
        """Read what the export says of errors and deletions. A file that the server refuses counts as unread."""
        manifest = await self._stored_manifest(request.manifest)
        delivery = Delivery()
        for url in manifest.errors:
            delivery += await self._read_notice(url, request.server, read_errors) or Delivery(unread_errors=1)
        for url in manifest.deletions:
            delivery += await self._read_notice(url, request.server, read_deletions) or Delivery(unread_deletions=1)
        return delivery

    async def _read_notice(self, url: str, server: str, read: Callable[[Path], Delivery]) -> Delivery | None:
        limit = self.clients.settings.max_file_bytes
        with tempfile.TemporaryDirectory(prefix="wardflow-notice-") as name:
            path = Path(name) / "file.ndjson"
            try:
                await self._fetch(url, server, path)
                async with regular_heartbeats():
                    plain = await asyncio.to_thread(inflated, path, Path(name) / "plain", limit)
                    return await asyncio.to_thread(read, plain)
            except WardflowError as error:
                if error.retryable:
                    raise
                return None

    async def _stored_manifest(self, ref: ObjectRef) -> ReadManifest:
        return read_manifest((await asyncio.to_thread(read_link, self.stager.store, ref)).encode())

    @activity.defn(name="stage_fhir")
    async def stage_fhir(self, request: StageFhir) -> Staged:
        """Read a landed file, and stage its rows."""
        landed = await landed_ndjson(self.stager.pool, request, self.clients.settings, file=True)
        return await self.stager.stage(landed)

    async def landed_again(self, landed: ObjectRef, server: str, run_id: str) -> Landed:
        """Describe a file or a page that was loaded before, for a reload."""
        settings, pool = self.clients.settings, self.stager.pool
        identity = fhir_identity(landed, server, reader_settings(settings, server))
        at = await ledger.as_of(pool, identity)
        return await landed_ndjson(pool, StageFhir(run_id=run_id, server=server, landed=landed, at=at), settings)

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

    async def _fetch(self, url: str, server: str, path: Path) -> None:
        client = self.clients.of_url(url, server)
        if client is None:
            await download(url, path, self.guard, expect=_FILE, progress=_heartbeat)
            return
        async with server_call():
            try:
                await client.download(url, path, _heartbeat)
            except ServerRefused as refusal:
                await self._redirected(refusal, path, _FILE)

    async def _redirected(self, refusal: ServerRefused, path: Path, expect: tuple[Kind, ...]) -> None:
        """Download a file from where its server redirects to, by the rules of downloads and without a token.

        Raises:
            ServerRefused: the server did not redirect.
            UrlNotAllowed: the rules do not allow the target.
        """
        if not refusal.redirect:
            raise refusal
        try:
            await download(refusal.redirect, path, self.guard, expect=expect, progress=_heartbeat)
        except UrlNotAllowed as error:
            message = f"{refusal.message} This is not followed. {error.message}"
            raise UrlNotAllowed(message, advice=refusal.advice) from None


def _heartbeat(_: int) -> None:
    activity.heartbeat()
