"""Activities of FHIR imports that call no server: plan, stage, load and finish."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pydantic import JsonValue
from temporalio import activity

from activities.fhir.reports import report_more
from activities.heartbeats import one_ahead, regular_heartbeats
from activities.loads import LoadActivities
from activities.staging import Landed, Reading, Stager
from config.fhir import FhirSettings
from library.contracts.loads import DatasetCounts, LoadOutcome, LoadRequest, Staged
from library.contracts.runs import FIGURES_OF, RunTotals
from library.objects.staged import StagedFolder
from library.sources.fhir.contracts import PATIENT_UNKNOWN, FinishImport, LoadPages, Plan, PlanSearches, StageFhir
from library.sources.fhir.datasets import OBSERVATION
from library.sources.fhir.errors import NotResources
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.links import LINKS
from library.sources.fhir.loads import identity_as_of
from library.sources.fhir.lookups import patient_unknown
from library.sources.fhir.reading import ReaderSettings, reader_settings
from library.sources.fhir.staging import fhir_identity, stage_ndjson
from library.warehouse import ledger
from library.warehouse.pool import Pool


@dataclass(frozen=True)
class FhirImportActivities:
    """Plan the searches, load the pages, finish the import."""

    imports: FhirImports
    stager: Stager
    loads: LoadActivities
    settings: FhirSettings

    @activity.defn(name="plan_searches")
    async def plan_searches(self, request: PlanSearches) -> Plan:
        """Divide the patients that were found into searches for their observations."""
        async with regular_heartbeats():
            return await self.imports.plan(request.run_id, request.server, request.zipcode, batch=self.settings.batch)

    @activity.defn(name="load_pages")
    async def load_pages(self, request: LoadPages) -> None:
        """Stage and load landed pages, each in its own transaction, then mark ended searches as complete."""
        for staged in request.requests:
            await self.loads.load(staged)
        await self._load(request.landed)
        await self.imports.complete(request.run_id, request.complete)
        counts = await self.loads.runs.totals(request.run_id)
        patients, remaining = await self.imports.counts(request.run_id)
        report: dict[str, JsonValue] = {
            "patients": patients,
            "observations": _written(counts),
            "remaining": remaining,
        }
        await self.loads.runs.enter_progress(request.run_id, counts, report, pages=request.pages)

    async def _load(self, pages: Sequence[StageFhir]) -> None:
        """Load pages in order. The next page is staged at the same time."""
        with tempfile.TemporaryDirectory(prefix="wardflow-pages-") as name:
            steps = (self._staged(page, Path(name) / str(number)) for number, page in enumerate(pages))
            async with aclosing(one_ahead(steps)) as ahead:
                while True:
                    async with regular_heartbeats():
                        staged = await anext(ahead, None)
                    if staged is None:
                        return
                    request, folder = staged
                    if isinstance(request, LoadRequest):
                        await self.loads.load(request, objects=StagedFolder(folder))
                    await asyncio.to_thread(shutil.rmtree, folder)
                    activity.heartbeat()  # pages can be too quick for the timed heartbeat, but together they take long

    async def _staged(self, page: StageFhir, folder: Path) -> tuple[Staged, Path]:
        folder.mkdir()
        landed = await landed_ndjson(self.loads.pool, page, self.settings)
        return await self.stager.stage_in_folder(landed, folder), folder

    @activity.defn(name="finish_import")
    async def finish_import(self, request: FinishImport) -> RunTotals:
        """Sum up the run, remember that the zip code was imported, and remove the run's links and searches."""
        async with regular_heartbeats():
            return await self._finish(request)

    async def _finish(self, request: FinishImport) -> RunTotals:
        store, pool, runs = self.loads.store, self.loads.pool, self.loads.runs
        report = dict(request.report) | request.delivery.report
        found = report.get("files", 0)
        if request.zipcode:
            found = report["patients"] = await self.imports.patients(request.run_id, request.server, request.zipcode)
        counts, counted_run = await runs.totals(request.run_id), request.run_id
        outcome = LoadOutcome.ALREADY_LOADED if found and not counts else LoadOutcome.LOADED
        if request.delivery.incomplete:
            outcome = LoadOutcome.INCOMPLETE
        if outcome is LoadOutcome.ALREADY_LOADED and (before := await runs.figures_before(request.run_id)):
            counted_run, counts = before
            report[FIGURES_OF] = counted_run
        await runs.warn(request.run_id, request.delivery.warnings())
        if counts:
            loads = await ledger.loads_behind(pool, counted_run)
            report[PATIENT_UNKNOWN] = await patient_unknown(pool, loads)
            report |= await report_more(pool, runs, request.run_id, loads)
        if request.zipcode:
            report |= {"observations": _written(counts), "remaining": 0}
            kept = {name: value for name, value in report.items() if isinstance(value, int)}
            await self.imports.finish(request.run_id, request.server, request.zipcode, kept)
        await asyncio.to_thread(
            lambda: store.remove(store.keys_older_than(f"{LINKS}{request.run_id}/", datetime.max.replace(tzinfo=UTC)))
        )
        await runs.enter_progress(request.run_id, counts, report)
        return RunTotals(outcome=outcome, counts=counts, report=report)


def _written(counts: Mapping[str, DatasetCounts]) -> int:
    """Number of observations that were inserted or updated."""
    observations = counts.get(OBSERVATION.name, DatasetCounts())
    return observations.inserted + observations.updated


async def landed_ndjson(pool: Pool, request: StageFhir, settings: FhirSettings, *, file: bool = False) -> Landed:
    """Describe landed NDJSON for staging. A file (not a page) is refused if it does not hold resources."""
    reading = reader_settings(settings, request.server)
    identity = fhir_identity(request.landed, request.server, reading, reload=request.reload)
    if not request.reload:
        identity = await ledger.after_other_settings(pool, identity)
    if request.at is not None:
        identity = await identity_as_of(pool, identity, request.at, in_any_order=request.exported)
    return Landed(request.landed, identity, request.run_id, partial(_read, request, reading, file))


def _read(request: StageFhir, reading: ReaderSettings, file: bool, source: Path, folder: Path) -> Reading:
    stamped = request.at or request.landed.landed_at
    if stamped is None:
        raise ValueError("a landed object must have a landing time")
    staged = stage_ndjson(
        source, folder, server=request.server, object_key=request.landed.key, stamped=stamped, reading=reading
    )
    if file and staged.strange:
        raise NotResources(f"The file does not hold resources, one a line. {staged.strange}")
    return Reading(staged.needed, staged.report)
