"""What imports from NDJSON files send across boundaries."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from library.contracts.base import Contract
from library.contracts.objects import ObjectRef
from library.sources.fhir.contracts import FILE


class Manifest(Contract):
    """What an export has made.

    Attributes:
        object: the manifest itself; the files' addresses in it may say more than they should.
        files: how many of its files have patients or observations.
        at: what the export holds is as of then.
    """

    object: ObjectRef
    files: int
    at: datetime | None = None


class ImportFhir(Contract):
    """Input of the workflow `import-fhir`.

    Attributes:
        server: whose the rows are; `file` unless one was named.
        landed: an NDJSON file; or
        url: of an export's manifest, of its state, of an NDJSON file, or `$export` itself.
        reload: above 0, the same file is loaded once more.
        manifest, begin: once it is there, and its first file that was not begun yet.
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
    """Input of the activity `begin_export`; its result is the `ObjectRef` of a link to the export's state."""

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
        number: of the file among those of the manifest that have patients or observations, from 0.
    """

    run_id: str
    server: str
    manifest: ObjectRef
    number: int


class CountPatientUnknown(Contract):
    """Input of the activity `count_patient_unknown`: a run that is one load, and that load, be it an earlier run's."""

    run_id: str
    load_id: UUID
