"""Starts the runs of workbooks. A run needs a stored object or an allowed URL."""

import hashlib
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from config.settings import Settings
from library.contracts.objects import ObjectRef
from library.objects.store import Progress
from library.sources.beds.contracts import SOURCE, IngestWorkbook, WorkbookTooLarge
from library.sources.beds.staging import workbook_identity
from library.warehouse import ledger
from library.web.guard import Guard
from library.web.urls import check_url
from service.resources import download_guard
from service.starts import RunHandle, Starter

EXCEL = {
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def workbook_guard(settings: Settings) -> Guard:
    """The rules of downloads of workbooks.

    Raises:
        ConfigurationError: a host, origin or proxy of the settings is not valid.
    """
    return download_guard(settings, max_bytes=settings.workbook.max_bytes)


async def land_workbook(starter: Starter, path: Path, *, progress: Progress = lambda _: None) -> ObjectRef:
    """Store a workbook's bytes.

    Raises:
        WorkbookTooLarge: the file is larger than the limit; nothing was stored.
    """
    if (size := path.stat().st_size) > (limit := starter.settings.workbook.max_bytes):
        raise WorkbookTooLarge(f"The file has {size:,} bytes; {limit:,} are allowed.")
    content_type = EXCEL.get(path.suffix.lower(), "application/octet-stream")
    return await starter.land(partial(starter.store.land, SOURCE, path, content_type=content_type), progress)


async def ingest_workbook(starter: Starter, workbook: ObjectRef, *, subject: str, reload: bool = False) -> RunHandle:
    """Start the run of a landed workbook, or join the open run.

    Args:
        starter: starts it.
        workbook: the landed bytes; their sha256 is the run's business identity.
        subject: the file's name, for people. It is stored in `ingest.run`, and not sent to Temporal.
        reload: load it once more although it is in the ledger.
    """
    number = await ledger.next_reload(starter.pool, workbook_identity(workbook)) if reload else 0
    return await starter.start(
        "ingest-workbook",
        IngestWorkbook(workbook=workbook, reload=number),
        workflow_id=f"workbook-{workbook.sha256}" + (f"-reload-{number}" if number else ""),
        source=SOURCE,
        subject=subject,
        object_key=workbook.key,
    )


async def ingest_workbook_from(starter: Starter, url: str) -> RunHandle:
    """Start the run of a workbook to download, or join the open run.

    Raises:
        UrlNotAllowed: the rules of downloads do not allow the URL.
    """
    check_url(url, workbook_guard(starter.settings))
    return await starter.start(
        "ingest-workbook",
        IngestWorkbook(url=url),
        workflow_id=f"workbook-url-{hashlib.sha256(url.encode()).hexdigest()[:32]}",
        source=SOURCE,
        subject=urlsplit(url).path.rsplit("/", 1)[-1] or "workbook",
        object_key=None,
    )
