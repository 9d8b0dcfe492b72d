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
    from library.sources.fhir.delivery import Delivery
    from library.sources.fhir.file_contracts import (
        BeginExport,
        CountPatientUnknown,
        DownloadExported,
        FetchManifest,
        ImportFhir,
        Manifest,
        ReadNotices,
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
            begin, delivery = await _files(run_id, request, manifest)
            if begin < manifest.files:
                update = {"manifest": manifest, "begin": begin, "delivery": delivery}
                workflow.continue_as_new(request.model_copy(update=update))
            if manifest.notices:
                notices = ReadNotices(run_id=run_id, server=request.server, manifest=manifest.object)
                delivery += await act(EXPORTED_FILE, FhirFileActivities.read_notices, notices)
            return await act(
                IMPORT_BOOKS,
                FhirImportActivities.finish_import,
                FinishImport(
                    run_id=run_id,
                    server=request.server,
                    report={"files": manifest.files},
                    delivery=delivery + Delivery(unread_pages=manifest.unread_pages),
                ),
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


async def _files(run_id: str, request: ImportFhir, manifest: Manifest) -> tuple[int, Delivery]:
    """Import files at the same time until all are done or the history is long.

    Returns:
        The number of the first file that was not started, and what was delivered of those before it.
    """
    begin, delivery = request.begin, request.delivery

    async def import_files() -> None:
        nonlocal begin, delivery
        info = workflow.info()
        while begin < manifest.files and info.get_current_history_length() < request.events:
            number, begin = begin, begin + 1
            # A file that is shorter than the manifest says is downloaded once more.
            missing = await _file(run_id, request, manifest, number) and await _file(run_id, request, manifest, number)
            if missing:
                delivery += Delivery(short_files=1, missing_lines=missing)

    await gather_or_cancel(*(import_files() for _ in range(_AT_ONCE)))
    return begin, delivery


async def _file(run_id: str, request: ImportFhir, manifest: Manifest, number: int) -> int:
    """Download and load one file; return how many lines it has less than the manifest says."""
    landed = await act(
        EXPORTED_FILE,
        FhirFileActivities.download_exported,
        DownloadExported(run_id=run_id, server=request.server, manifest=manifest.object, number=number),
    )
    result = await _load(run_id, request, landed, manifest)
    lines = result.report.get("lines")
    return max(landed.count - lines, 0) if landed.count is not None and isinstance(lines, int) else 0


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
