"""Activities of imports beside their calls: plan, stage and load, close."""

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

from activities.beating import beating, one_ahead
from activities.loads import LoadActivities
from activities.staging import Landed, Reading, Stager
from config.fhir import FhirSettings
from library.contracts.loads import DatasetCounts, LoadOutcome, LoadRequest, Staged
from library.contracts.runs import FIGURES_OF, RunTotals
from library.objects.staged import StagedFolder
from library.sources.fhir.contracts import (
    PATIENT_UNKNOWN,
    FinishImport,
    LoadPages,
    NotResources,
    Plan,
    PlanSearches,
    StageFhir,
)
from library.sources.fhir.datasets import OBSERVATION
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.links import LINKS
from library.sources.fhir.loads import identity_as_of
from library.sources.fhir.queries import patient_unknown
from library.sources.fhir.staging import fhir_identity, stage_ndjson
from library.warehouse import ledger
from library.warehouse.pool import Pool


@dataclass(frozen=True)
class FhirImportActivities:
    """What an import does beside its calls: plan, load, close."""

    imports: FhirImports
    stager: Stager
    loads: LoadActivities
    settings: FhirSettings

    @activity.defn(name="plan_searches")
    async def plan_searches(self, asked: PlanSearches) -> Plan:
        """Part the patients that were found into searches for their observations."""
        async with beating():
            return await self.imports.plan(asked.run_id, asked.server, asked.zipcode, batch=self.settings.batch)

    @activity.defn(name="load_pages")
    async def load_pages(self, asked: LoadPages) -> None:
        """Stage and load landed pages, a transaction each; searches that ended with them are complete then."""
        for request in asked.requests:
            await self.loads.load(request)
        await self._load(asked.landed)
        await self.imports.complete(asked.run_id, asked.complete)
        counts = await self.loads.runs.totals(asked.run_id)
        patients, remaining = await self.imports.counts(asked.run_id)
        report: dict[str, JsonValue] = {
            "patients": patients,
            "observations": _written(counts),
            "remaining": remaining,
        }
        await self.loads.runs.enter_progress(asked.run_id, counts, report, pages=asked.pages)

    async def _load(self, pages: Sequence[StageFhir]) -> None:
        """Load pages in their order; the next one is staged meanwhile."""
        with tempfile.TemporaryDirectory(prefix="wardflow-pages-") as name:
            steps = (self._staged(page, Path(name) / str(number)) for number, page in enumerate(pages))
            async with aclosing(one_ahead(steps)) as ahead:
                while True:
                    async with beating():
                        staged = await anext(ahead, None)
                    if staged is None:
                        return
                    request, folder = staged
                    if isinstance(request, LoadRequest):
                        await self.loads.load(request, objects=StagedFolder(folder))
                    await asyncio.to_thread(shutil.rmtree, folder)
                    activity.heartbeat()  # many short steps are one long one

    async def _staged(self, page: StageFhir, folder: Path) -> tuple[Staged, Path]:
        folder.mkdir()
        return await self.stager.stage_at_hand(await landed_ndjson(self.loads.pool, page), folder), folder

    @activity.defn(name="finish_import")
    async def finish_import(self, asked: FinishImport) -> RunTotals:
        """Sum up a run; of an import by zip code, keep that it was done, and remove what only the run needed."""
        async with beating():
            return await self._finish(asked)

    async def _finish(self, asked: FinishImport) -> RunTotals:
        store, pool, runs = self.loads.store, self.loads.pool, self.loads.runs
        report = dict(asked.report)
        found = report.get("files", 0)
        if asked.zipcode:
            found = report["patients"] = await self.imports.patients(asked.run_id, asked.server, asked.zipcode)
        counts, whose = await runs.totals(asked.run_id), asked.run_id
        outcome = LoadOutcome.ALREADY_LOADED if found and not counts else LoadOutcome.LOADED
        if outcome is LoadOutcome.ALREADY_LOADED and (before := await runs.figures_before(asked.run_id)):
            whose, counts = before
            report[FIGURES_OF] = whose
        if counts:
            report[PATIENT_UNKNOWN] = await patient_unknown(pool, await ledger.loads_behind(pool, whose))
        if asked.zipcode:
            report |= {"observations": _written(counts), "remaining": 0}
            kept = {name: value for name, value in report.items() if isinstance(value, int)}
            await self.imports.finish(asked.run_id, asked.server, asked.zipcode, kept)
        await asyncio.to_thread(
            lambda: store.remove(store.keys_older_than(f"{LINKS}{asked.run_id}/", datetime.max.replace(tzinfo=UTC)))
        )
        await runs.enter_progress(asked.run_id, counts, report)
        return RunTotals(outcome=outcome, counts=counts, report=report)


def _written(counts: Mapping[str, DatasetCounts]) -> int:
    """Observations that are new or newer."""
    observations = counts.get(OBSERVATION.name, DatasetCounts())
    return observations.inserted + observations.updated


async def landed_ndjson(pool: Pool, asked: StageFhir, *, file: bool = False) -> Landed:
    """Landed NDJSON: a page's, or a file's, which is refused where it is none."""
    identity = fhir_identity(asked.landed, asked.server, reload=asked.reload)
    if asked.at is not None:
        identity = await identity_as_of(pool, identity, asked.at, in_any_order=asked.exported)
    return Landed(asked.landed, identity, asked.run_id, partial(_read, asked, file))


def _read(asked: StageFhir, file: bool, source: Path, folder: Path) -> Reading:
    stamped = asked.at or asked.landed.landed_at
    if stamped is None:
        raise ValueError("a landed object says when it was")
    staged = stage_ndjson(source, folder, server=asked.server, object_key=asked.landed.key, stamped=stamped)
    if file and staged.strange:
        raise NotResources(f"The file does not hold resources, one a line. {staged.strange}")
    return Reading(staged.needed, staged.report)
