"""Patients and observations from NDJSON files: a landed one, or those of an export."""

from temporalio import workflow

from workflows.policies import EXPORT, EXPORTED_FILE, FETCH, IMPORT_BOOKS, STAGE
from workflows.runs import act, loaded, recorded, together

with workflow.unsafe.imports_passed_through():
    from activities.fhir.files import FhirFileActivities
    from activities.fhir.imports import FhirImportActivities
    from library.contracts.loads import LoadResult
    from library.contracts.objects import ObjectRef
    from library.contracts.runs import RunTotals
    from library.sources.fhir.contracts import FinishImport, StageFhir
    from library.sources.fhir.file_contracts import (
        BeginExport,
        CountPatientUnknown,
        DownloadExported,
        FetchManifest,
        ImportFhir,
        Manifest,
    )

_AT_ONCE = 3
"""Files of an export that are under way side by side."""


@workflow.defn(name="import-fhir")
class ImportFhirWorkflow:
    """A landed file → staged → loaded; or an export's files, each downloaded → landed → staged → loaded."""

    @workflow.run
    async def run(self, request: ImportFhir) -> LoadResult | RunTotals:
        """Import one file, or all of an export."""
        if request.landed is not None:
            file = request.landed

            async def one(run_id: str) -> LoadResult:
                result = await _load(run_id, request, file, None)
                if workflow.patched("count-patient-unknown"):
                    wanted = CountPatientUnknown(run_id=run_id, load_id=result.load_id)
                    await act(IMPORT_BOOKS, FhirFileActivities.count_patient_unknown, wanted)
                return result

            return await recorded("fhir", file.key, one)

        async def export(run_id: str) -> RunTotals:
            manifest = request.manifest or await _manifest(run_id, request)
            begin = await _files(run_id, request, manifest)
            if begin < manifest.files:
                workflow.continue_as_new(request.model_copy(update={"manifest": manifest, "begin": begin}))
            return await act(
                IMPORT_BOOKS,
                FhirImportActivities.finish_import,
                FinishImport(run_id=run_id, server=request.server, report={"files": manifest.files}),
            )

        return await recorded("fhir", None, export, one_load=False)


async def _manifest(run_id: str, request: ImportFhir) -> Manifest:
    link = await act(
        FETCH,
        FhirFileActivities.begin_export,
        BeginExport(run_id=run_id, server=request.server, url=request.url or ""),
    )
    return await act(
        EXPORT, FhirFileActivities.fetch_manifest, FetchManifest(run_id=run_id, server=request.server, link=link)
    )


async def _files(run_id: str, request: ImportFhir, manifest: Manifest) -> int:
    """Bring in files side by side, until none is left or the history is long; returns the first that was not begun."""
    begin = request.begin

    async def one_after_the_other() -> None:
        nonlocal begin
        info = workflow.info()
        while begin < manifest.files and info.get_current_history_length() < request.events:
            number, begin = begin, begin + 1
            landed = await act(
                EXPORTED_FILE,
                FhirFileActivities.download_exported,
                DownloadExported(run_id=run_id, server=request.server, manifest=manifest.object, number=number),
            )
            await _load(run_id, request, landed, manifest)

    await together(*(one_after_the_other() for _ in range(_AT_ONCE)))
    return begin


async def _load(run_id: str, request: ImportFhir, landed: ObjectRef, manifest: Manifest | None) -> LoadResult:
    wanted = StageFhir(
        run_id=run_id,
        server=request.server,
        landed=landed,
        at=manifest and (manifest.at or landed.landed_at),
        reload=request.reload,
        exported=manifest is not None and manifest.at is not None,
    )
    return await loaded(await act(STAGE, FhirFileActivities.stage_fhir, wanted))
