"""Imports patients and observations from NDJSON files: one landed file, or the files of an export."""

from temporalio import workflow

from workflows.fhir.policies import EXPORT, EXPORTED_FILE, FETCH, IMPORT_BOOKS
from workflows.policies import STAGE
from workflows.runs import act, gather_or_cancel, loaded, recorded

with workflow.unsafe.imports_passed_through():
    from activities.fhir.files import FhirFileActivities
    from activities.fhir.imports import FhirImportActivities
    from library.contracts.loads import LoadResult
    from library.contracts.objects import ObjectRef
    from library.contracts.runs import RunTotals
    from library.sources.fhir.contracts import SOURCE, FinishImport, StageFhir
    from library.sources.fhir.file_contracts import (
        BeginExport,
        CountPatientUnknown,
        DownloadExported,
        FetchManifest,
        ImportFhir,
        Manifest,
    )

_AT_ONCE = 3
"""Files of an export that are imported at the same time."""


@workflow.defn(name="import-fhir")
class ImportFhirWorkflow:
    """Stage and load one landed file; or download, land, stage and load each file of an export."""

    @workflow.run
    async def run(self, request: ImportFhir) -> LoadResult | RunTotals:
        """Import one file, or all files of an export."""
        if request.landed is not None:
            file = request.landed

            async def import_file(run_id: str) -> LoadResult:
                result = await _load(run_id, request, file, None)
                if workflow.patched("count-patient-unknown"):
                    count = CountPatientUnknown(run_id=run_id, load_id=result.load_id)
                    await act(IMPORT_BOOKS, FhirFileActivities.count_patient_unknown, count)
                return result

            return await recorded(SOURCE, file.key, import_file)

        async def import_export(run_id: str) -> RunTotals:
            manifest = request.manifest or await _manifest(run_id, request)
            begin = await _files(run_id, request, manifest)
            if begin < manifest.files:
                workflow.continue_as_new(request.model_copy(update={"manifest": manifest, "begin": begin}))
            return await act(
                IMPORT_BOOKS,
                FhirImportActivities.finish_import,
                FinishImport(run_id=run_id, server=request.server, report={"files": manifest.files}),
            )

        return await recorded(SOURCE, None, import_export, one_load=False)


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
    """Import files at the same time until all are done or the history is long.

    Returns:
        The number of the first file that was not started.
    """
    begin = request.begin

    async def import_files() -> None:
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

    await gather_or_cancel(*(import_files() for _ in range(_AT_ONCE)))
    return begin


async def _load(run_id: str, request: ImportFhir, landed: ObjectRef, manifest: Manifest | None) -> LoadResult:
    stage = StageFhir(
        run_id=run_id,
        server=request.server,
        landed=landed,
        at=manifest and (manifest.at or landed.landed_at),
        reload=request.reload,
        exported=manifest is not None and manifest.at is not None,
    )
    return await loaded(await act(STAGE, FhirFileActivities.stage_fhir, stage))
