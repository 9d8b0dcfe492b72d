"""Contracts of the fhir source. They contain no patient data: searches are numbers, page links are references.

ApiError
└── OnSeveralServers                      service.sources.fhir

WardflowError
├── SandboxSilent                         service.sources.fhir
└── FhirError
    ├── AnotherOrigin
    ├── FileDamaged
    ├── InvalidZipcode                    HTTP 422
    ├── NotABundle
    ├── NotResources
    ├── PageLoops
    ├── PageTooLarge
    ├── PageUnreadable (retryable)        HTML, or JSON that was cut off
    │   └── PageStaysUnreadable           after several tries
    ├── SearchExpired                     a page link has expired; the search begins again
    ├── ServerBusy (retryable)            429, 5xx except 501, or no connection; may state when to retry
    ├── ServerRefused
    └── UnknownServer                     HTTP 422

ApiError
└── OnSeveralServers                      HTTP 409
"""

from datetime import datetime

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.errors import WardflowError
from library.contracts.loads import LoadRequest
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunError

NDJSON = "application/fhir+ndjson"
"""The media type of resources, one a line."""
FILE = "file"
"""The server of rows that came by files, unless one was named."""

PATIENT_UNKNOWN = "patient_unknown"
"""In a run's report: observations that it brought and whose patient was not here when it ended."""

FAILURES = 5
"""Searches that may fail before no further one begins: what fails them all, such as a token that has ended."""

_EMPTY, _EXPIRED, _PAGES = 20, 5, 50_000
"""What a search may have: pages without anything, one after the other; links that expire; pages in all."""
_SEEN, _MARK = 1_000, 16
"""How many marks of pages are kept, two a page, and their length: a state is carried when a workflow continues."""


class FhirError(WardflowError):
    """A server, or a page of it, that cannot be read."""


class InvalidZipcode(FhirError):
    """A text that is no zip code by the settings.

    Attributes:
        field: where it stands in what was asked.
    """

    default_advice = "Give a zip code of 5 digits, or 5 and 4; those of other countries are a setting (fhir.zipcode)."

    def __init__(self, message: str, *, field: str = "zipcode") -> None:
        super().__init__(message)
        self.field = field


class UnknownServer(FhirError):
    """No FHIR server of this name is in the settings.

    Attributes:
        field: where it stands in what was asked.
    """

    field = "server"
    default_advice = "Name a server of the settings (fhir.servers), or none for the default one."


class ServerBusy(FhirError):
    """The server does not answer now: too many requests, a fault of its own, no connection.

    Attributes:
        retry_after: seconds that the server asks to wait, bounded; `None` where it says nothing.
    """

    retryable = True
    default_advice = "Nothing to do if the server comes back: the call is repeated."

    def __init__(self, message: str, *, retry_after: float | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.retry_after = retry_after


class PageUnreadable(FhirError):
    """An answer that is no JSON, or that was cut off on its way."""

    retryable = True
    default_advice = "Nothing to do if it was cut off: the call is repeated. Else look at what the server answers."


class PageStaysUnreadable(PageUnreadable):
    """An answer that was no JSON at any of several tries."""

    retryable = False
    default_advice = "Look at what the server, or a proxy before it, answers to such a call; then start the run again."


class PageTooLarge(FhirError):
    """A page that is larger than one may be, or nested more deeply."""

    default_advice = "Ask for fewer resources a page (fhir.page_size), or allow more bytes (fhir.max_page_bytes)."


class FileDamaged(FhirError):
    """A file whose compression is damaged, or that was cut off."""

    default_advice = "Send the file again, whole."


class NotResources(FhirError):
    """A file that is hardly one of resources: there is no end of lines that cannot be read."""

    default_advice = "Send NDJSON: a resource as JSON on each line."


class NotABundle(FhirError):
    """JSON, but no Bundle of search results."""

    default_advice = "Check that the server's base URL is the one of a FHIR R4 server."


class ServerRefused(FhirError):
    """The server answered with an OperationOutcome, or with a status that a repeat does not change.

    Attributes:
        status: the HTTP status.
    """

    default_advice = "The codes say what the server did not like: its address, the credentials, a parameter."

    def __init__(self, message: str, *, status: int | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.status = status


class AnotherOrigin(FhirError):
    """The link of the next page leads to another server."""

    default_advice = (
        "Where a server behind a proxy names itself otherwise, list that origin in the server's next_origins."
    )


class PageLoops(FhirError):
    """The pages of a search come again, or are empty without an end."""

    default_advice = "The server's paging is at fault: try another page size, and report it to whoever runs the server."


class SearchExpired(FhirError):
    """The server does not know the link of a page any more."""

    default_advice = "The search is begun again a few times; a larger page size makes it shorter."


class FetchPage(Contract):
    """Input of `fetch_patient_page`, `fetch_observation_page` and `read_patients`: one page of one search.

    Attributes:
        search, patient, link: as in `Cursor`; `patient` only where the search asks for one at a time.
    """

    run_id: str
    server: str
    zipcode: str
    search: int | None = None
    patient: int | None = None
    link: ObjectRef | None = None


class FetchedPage(Contract):
    """A page that was fetched and landed.

    Attributes:
        landed: its resources as NDJSON; `None` where it has none that are wanted.
        at: when it was made, or else came: orders resources that do not say when they were changed.
        staged: of pages that were fetched before staging moved into the load (0.1.0); none is made any more.
        resources: how many it has.
        content: first digits of the sha256 of its resources; empty where it has none.
        next: object with the link of the next page; `None`: this was the last one.
        server_time: as the page, or else its answer, states it.
        alone: above 0: the server refuses to be asked for so many patients at once, and nothing was fetched.
    """

    landed: ObjectRef | None = None
    at: datetime | None = None
    staged: LoadRequest | None = None
    resources: int = 0
    content: str = ""
    next: ObjectRef | None = None
    server_time: datetime | None = None
    alone: int = 0


class Cursor(Contract):
    """Where a search stands: everything that is needed to go on with its next page.

    Attributes:
        search: its number in the run's plan: `None` is the search for patients itself, below 0 a patient is read by id.
        alone: how many patients it has, where the server refused to be asked for several at once; they are then asked
            for one after the other.
        patient: which of them is being asked for.
        link: object with the link of the next page; `None`: the first page.
        began: the server's time at the first page.
        seen: of the latest pages: links and contents, as the first digits of their sha256.
        pages: read so far.
        empty: how many of the latest pages, one after the other, had nothing.
        expired: how often it was begun again.
        ended: nothing is left to be read.
    """

    search: int | None
    alone: int = 0
    patient: int = 0
    link: ObjectRef | None = None
    began: datetime | None = None
    seen: tuple[str, ...] = ()
    pages: int = 0
    empty: int = 0
    expired: int = 0
    ended: bool = False

    def after(self, page: FetchedPage) -> "Cursor":
        """Where the search stands with one page more.

        Raises:
            PageLoops: the page was there before, or nothing but empty pages comes.
        """
        if page.alone:
            return self.model_copy(update={"alone": page.alone})
        marks = tuple(mark[:_MARK] for mark in (page.content, page.next.sha256 if page.next else "") if mark)
        empty = 0 if page.resources else self.empty + 1
        if not set(marks).isdisjoint(self.seen):
            raise PageLoops(f"Page {self.pages + 1} of a search leads back to one that was read before.")
        if empty > _EMPTY:
            raise PageLoops(f"{_EMPTY} pages of a search, one after the other, had nothing.")
        if self.pages >= _PAGES:
            raise PageLoops(f"A search has more than {_PAGES:,} pages.")
        here = {"began": self.began or page.server_time, "pages": self.pages + 1}
        if page.next:
            seen = (*self.seen, *marks)[-_SEEN:]
            return self.model_copy(update={**here, "link": page.next, "seen": seen, "empty": empty})
        another = self.patient + 1 < self.alone
        first = {"link": None, "seen": (), "empty": 0, "patient": self.patient + 1}
        return self.model_copy(update={**here, **(first if another else {"ended": True})})

    def again(self) -> "Cursor | None":
        """From the first page on, after a link has expired; `None` where that was tried often enough."""
        if self.expired >= _EXPIRED:
            return None
        return self.model_copy(update={"link": None, "seen": (), "empty": 0, "expired": self.expired + 1})


class CompleteSearch(Contract):
    """A search whose pages are all fetched; it is complete once those before it in the batch are loaded.

    Attributes:
        began: the server's time at its beginning: what its patients are complete through; `None` where it said none.
    """

    search: int
    began: datetime | None


class StageFhir(Contract):
    """Input of the activity `stage_fhir`, whose result is `Staged`: landed NDJSON, a file's or a page's.

    Attributes:
        at: orders resources that do not say when they were changed; unless given, it is the time of landing.
        exported: whether `at` is an export's own time: then exports may come in any order.
    """

    run_id: str
    server: str
    landed: ObjectRef
    at: datetime | None = None
    reload: int = 0
    exported: bool = False


class LoadPages(Contract):
    """Input of the activity `load_pages`: one transaction a page, then the searches that are complete with them.

    Attributes:
        landed: the pages that have something to load.
        requests: as `FetchedPage.staged`.
        pages: how many were fetched since the last time, those without anything among them.
    """

    run_id: str
    server: str
    landed: tuple[StageFhir, ...] = ()
    requests: tuple[LoadRequest, ...] = ()
    complete: tuple[CompleteSearch, ...] = ()
    pages: int = 0


class PlanSearches(Contract):
    """Input of the activity `plan_searches`."""

    run_id: str
    server: str
    zipcode: str


class Plan(Contract):
    """What the run asks for after its patients.

    Attributes:
        patients: found by the search.
        missing: patients that the search found no more, to be read by id; they are numbered from -1 downwards.
        searches: for observations, numbered from 0.
    """

    patients: int
    missing: int
    searches: int


class Pace(Contract):
    """How an import goes about it; from the settings of whoever starts it.

    Attributes:
        window: searches that are under way at once.
        large: searches from which on parts of them become workflows of their own.
        part: searches that such a part has.
        events: of a history, after which the workflow continues as new; Temporal itself may suggest it earlier.
    """

    window: int = Field(default=5, ge=1, le=100)
    large: int = Field(default=100, ge=1)
    part: int = Field(default=50, ge=1)
    events: int = Field(default=4_000, ge=20)


class Searches(Contract):
    """Searches to run, and where they stand when a workflow continues as new.

    Attributes:
        begin, end: the numbers that were not begun yet.
        open: those that were.
        pages: fetched so far.
        failed: how many searches could not be ended.
        error: of the first of them.
    """

    begin: int
    end: int
    open: tuple[Cursor, ...] = ()
    pages: int = 0
    failed: int = 0
    error: RunError | None = None

    @property
    def unfinished(self) -> bool:
        """Whether there is more to be done than to say why not."""
        return bool(self.open) or (self.begin < self.end and self.failed < FAILURES)


class ImportZipcode(Contract):
    """Input of the workflow `import-zipcode`.

    Attributes:
        patients: the search for patients, as far as it has come; `None` at the beginning and once it is done.
        plan: once it is made.
        searches: as far as they have come.
    """

    server: str
    zipcode: str
    pace: Pace = Pace()
    patients: Searches | None = None
    plan: Plan | None = None
    searches: Searches | None = None


class ImportObservations(Contract):
    """Input of the workflow `import-observations`: a part of a large zip code's searches.

    Attributes:
        run_id: of the run that it is a part of.
    """

    run_id: str
    server: str
    zipcode: str
    pace: Pace
    searches: Searches


class FinishImport(Contract):
    """Input of the activity `finish_import`; its result is `RunTotals`."""

    run_id: str
    server: str
    zipcode: str = ""
    report: dict[str, JsonValue] = Field(default_factory=dict)
