"""Starts the imports of zip codes, NDJSON files and exports."""

import hashlib
import math
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from config.fhir import FhirSettings
from config.settings import Settings
from library.contracts.objects import ObjectRef
from library.objects.store import Progress
from library.sources.fhir.client import FILES_MAY_TAKE, is_at
from library.sources.fhir.contracts import FILE, SOURCE, ImportZipcode, Pace
from library.sources.fhir.errors import InvalidZipcode, UnknownServer
from library.sources.fhir.file_contracts import ImportFhir
from library.sources.fhir.ndjson import land_ndjson
from library.sources.fhir.reading import reader_settings
from library.sources.fhir.staging import fhir_identity
from library.sources.fhir.zipcodes import comparable
from library.warehouse import ledger
from library.web.guard import Guard
from library.web.urls import check_url
from service.resources import download_guard
from service.starts import RunHandle, Starter


def file_guard(settings: Settings) -> Guard:
    """The rules of downloads of an export's files, which are larger and slower than other downloads.

    Raises:
        ConfigurationError: a host, origin or proxy of the settings is not valid.
    """
    return download_guard(settings, max_bytes=settings.fhir.max_file_bytes, deadline=FILES_MAY_TAKE)


def checked_zipcode(settings: FhirSettings, text: str, field: str = "zipcode") -> str:
    """Return the zip code in the form in which it is compared: of a US code the five digits.

    Raises:
        InvalidZipcode: it is not a zip code, as the settings define it.
    """
    if not re.fullmatch(settings.zipcode, text):
        place = "" if field == "zipcode" else f"{field}: "
        raise InvalidZipcode(f"{place}This is not a zip code.", field=field)
    return comparable(text)


async def import_zipcode(starter: Starter, zipcode: str, *, server: str | None = None) -> RunHandle:
    """Start the import of a zip code's patients and observations, or join the open run.

    Args:
        starter: starts it.
        zipcode: the zip code. `57778-0001` is imported as `57778`.
        server: a FHIR server of the settings; `None`: the default server.

    Raises:
        InvalidZipcode: it is not a zip code.
        UnknownServer: there is none of this name.
    """
    fhir = starter.settings.fhir
    name = _server_named(starter.settings.fhir, server)
    zipcode = checked_zipcode(fhir, zipcode)
    large = math.ceil(fhir.large_zipcode / fhir.batch)
    pace = Pace(window=fhir.window, large=large, part=fhir.part, events=fhir.history)
    return await starter.start(
        "import-zipcode",
        ImportZipcode(server=name, zipcode=zipcode, pace=pace),
        workflow_id=f"zipcode-{name}-{quote(zipcode, safe='')}",
        source=SOURCE,
        subject=f"{zipcode} at {name}",
        object_key=None,
        one_load=False,
    )


async def land_fhir(starter: Starter, path: Path, *, progress: Progress = lambda _: None) -> ObjectRef:
    """Store an NDJSON file, plain or gzip. It is stored uncompressed.

    It counts as landed when the upload began, even if its bytes had been stored before.

    Raises:
        PageTooLarge: the file is larger than the limit; nothing was stored.
        FileDamaged: its compression is damaged.
    """
    limit, began = starter.settings.fhir.max_file_bytes, datetime.now(UTC)
    landed = await starter.land(partial(land_ndjson, starter.store, SOURCE, path, limit), progress)
    return landed.model_copy(update={"landed_at": began})


async def import_fhir(
    starter: Starter, landed: ObjectRef, *, subject: str, server: str | None = None, reload: bool = False
) -> RunHandle:
    """Start the import of a landed NDJSON file, or join the open run.

    Args:
        starter: starts it.
        landed: the file's bytes.
        subject: the file's name, for people. It is not sent to Temporal.
        server: the server of the patients; `None`: `file`.
        reload: load it once more although it is in the ledger.

    Raises:
        UnknownServer: there is none of this name.
    """
    name = _whose(starter.settings.fhir, server) if server else FILE
    identity = fhir_identity(landed, name, reader_settings(starter.settings.fhir, name))
    number = await ledger.next_reload(starter.pool, identity) if reload else 0
    if not reload and (before := await ledger.as_of(starter.pool, identity)):
        landed = landed.model_copy(update={"landed_at": before})  # a newer reader reads it, as of the same time
    return await starter.start(
        "import-fhir",
        ImportFhir(server=name, landed=landed, reload=number),
        workflow_id=f"fhir-{name}-{landed.sha256}" + (f"-reload-{number}" if number else ""),
        source=SOURCE,
        subject=subject,
        object_key=landed.key,
    )


async def import_fhir_from(starter: Starter, url: str, *, server: str | None = None) -> RunHandle:
    """Start the import of an export, or join the open run.

    Args:
        starter: starts it.
        url: `$export` at a server of the settings, an export's manifest or status, or an NDJSON file.
        server: the server of the patients; `None`: the server of the settings with this URL, or else `file`.

    Raises:
        UrlNotAllowed: the rules of downloads do not allow the URL.
        UnknownServer: there is none of this name.
    """
    fhir = starter.settings.fhir
    own = next((name for name, each in fhir.by_name.items() if is_at(url, each)), None)
    if own is None:
        check_url(url, file_guard(starter.settings))
    name = _whose(starter.settings.fhir, server) if server else own or FILE
    return await starter.start(
        "import-fhir",
        ImportFhir(server=name, url=url, events=fhir.history),
        workflow_id=f"fhir-url-{hashlib.sha256(f'{name} {url}'.encode()).hexdigest()[:32]}",
        source=SOURCE,
        subject=f"{urlsplit(url).path.rsplit('/', 1)[-1] or 'export'} of {name}",
        object_key=None,
        one_load=False,
    )


def _whose(settings: FhirSettings, server: str) -> str:
    return FILE if server == FILE else _server_named(settings, server)


def _server_named(settings: FhirSettings, name: str | None) -> str:
    known = settings.by_name
    if name is not None and name not in known:
        raise UnknownServer(f"No FHIR server has this name; there are {', '.join(sorted(known))}.")
    return name or settings.default
