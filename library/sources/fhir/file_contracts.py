"""Contracts of imports from NDJSON files."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from library.contracts.base import Contract
from library.contracts.objects import ObjectRef
from library.sources.fhir.contracts import FILE
from library.sources.fhir.delivery import Delivery


class Manifest(Contract):
    """The result of an export.

    Attributes:
        object: the manifest in the store, since the addresses of files in it may tell too much.
        files: the number of its files with patients or observations.
        at: the time of the exported data.
        notices: the number of its files with errors and with deletions.
        unread_pages: 1 if a page of the manifest cannot be read; later pages are unknown.
    """

    object: ObjectRef
    files: int
    at: datetime | None = None
    notices: int = 0
    unread_pages: int = 0


class ImportFhir(Contract):
    """Input of the workflow `import-fhir`.

    Attributes:
        server: the server of the rows; `file` unless a server was named.
        landed: an NDJSON file; or
        url: the URL of an export's manifest, of its status, of an NDJSON file, or `$export` itself.
        reload: if above 0, the same file is loaded once more.
        manifest, begin: the manifest, when it was fetched, and the first of its files that has not begun.
        delivery: what the server delivered of the files before `begin`.
        events: as in `Pace`.
    """

    server: str = FILE
    landed: ObjectRef | None = None
    url: str | None = None
    reload: int = 0
    manifest: Manifest | None = None
    begin: int = 0
    delivery: Delivery = Delivery()
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
    """Input of the activity `download_exported`; its result is the `ExportedFile`.

    Attributes:
        number: the file's number among the manifest's files with patients or observations, from 0.
    """

    run_id: str
    server: str
    manifest: ObjectRef
    number: int


class ExportedFile(ObjectRef):
    """A landed file of an export.

    Attributes:
        count: the number of its resources, if the manifest states it.
    """

    count: int | None = None


class ReadNotices(Contract):
    """Input of the activity `read_notices`; its result is the `Delivery` of the export's errors and deletions."""

    run_id: str
    server: str
    manifest: ObjectRef


class CountPatientUnknown(Contract):
    """Input of the activity `count_patient_unknown`: a run that is one load, and this load, perhaps of another run."""

    run_id: str
    load_id: UUID
