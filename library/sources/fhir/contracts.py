"""Contracts of the fhir source. They contain no patient data: searches are numbers, page links are references."""

from datetime import datetime

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.loads import LoadRequest
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunError
from library.sources.fhir.errors import PageLoops

SOURCE = "fhir"
"""The name of the source, in runs, loads and keys of objects."""

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
    """The limits of an import, from the settings of the process that starts it.

    Attributes:
        window: the number of searches that run at once.
        large: from this number of searches on, parts of them run as child workflows.
        part: the number of searches of such a part.
        events: the length of a history after which the workflow continues as new. Temporal may suggest it earlier.
    """

    window: int = Field(default=5, ge=1, le=100)
    large: int = Field(default=100, ge=1)
    part: int = Field(default=50, ge=1)
    events: int = Field(default=4_000, ge=20)


class Searches(Contract):
    """Searches to run, and their positions when a workflow continues as new.

    Attributes:
        begin, end: the numbers of the searches that have not begun.
        open: the searches that have begun.
        pages: the number of pages fetched so far.
        failed: the number of searches that failed.
        error: the error of the first failed search.
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
