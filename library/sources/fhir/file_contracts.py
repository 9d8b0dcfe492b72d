"""Contracts of imports from NDJSON files."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from library.contracts.base import Contract
from library.contracts.objects import ObjectRef
from library.sources.fhir.contracts import FILE


class Manifest(Contract):
    """The result of an export.

    Attributes:
        object: the manifest in the store, since the addresses of files in it may tell too much.
        files: the number of its files with patients or observations.
        at: the time of the exported data.
    """

    object: ObjectRef
    files: int
    at: datetime | None = None


class ImportFhir(Contract):
    """Input of the workflow `import-fhir`.

    Attributes:
        server: the server of the rows; `file` unless a server was named.
        landed: an NDJSON file; or
        url: the URL of an export's manifest, of its status, of an NDJSON file, or `$export` itself.
        reload: if above 0, the same file is loaded once more.
        manifest, begin: the manifest, when it was fetched, and the first of its files that has not begun.
        events: as in `Pace`.
    """

    server: str = FILE
    landed: ObjectRef | None = None
    url: str | None = None
    reload: int = 0
    manifest: Manifest | None = None
    begin: int = 0
    events: int = Field(default=4_000, ge=20)


class BeginExport(Contract):
    """Input of the activity `begin_export`; its result is the `ObjectRef` of a link to the export's status."""

    run_id: str
    server: str
    url: str


class FetchManifest(Contract):
    """Input of the activity `fetch_manifest`; its result is `Manifest`."""

    run_id: str
    server: str
    link: ObjectRef


class DownloadExported(Contract):
    """Input of the activity `download_exported`; its result is the landed file's `ObjectRef`.

    Attributes:
        number: the file's number among the manifest's files with patients or observations, from 0.
    """

    run_id: str
    server: str
    manifest: ObjectRef
    number: int


class CountPatientUnknown(Contract):
    """Input of the activity `count_patient_unknown`: a run that is one load, and this load, perhaps of another run."""

    run_id: str
    load_id: UUID
