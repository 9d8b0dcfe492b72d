"""Contracts of the fhir source. They contain no patient data: searches are numbers, page links are references."""

from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.loads import LoadRequest
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunError
from library.sources.fhir.delivery import Delivery
from library.sources.fhir.errors import PageLoops

SOURCE = "fhir"
"""The name of the source, in runs, loads and keys of objects."""

NDJSON = "application/fhir+ndjson"
"""The media type of resources, one a line."""
FILE = "file"
"""The server of rows from files, unless a server was named."""

PATIENT_UNKNOWN = "patient_unknown"
"""In a run's report: the number of its observations whose patient was not stored at the end of the run."""

PATIENT_ELSEWHERE = "patient_elsewhere"
"""In a run's report: the number of its observations whose patient is at another server. Missing if there are none."""

ELSEWHERE = "elsewhere"
"""In a run's report: the base URLs of those servers, each with its number of observations."""

OUTDATED = "outdated"
"""In a run's report: stored resources of which the run brought a newer version that was refused. Missing if none."""

FAILURES = 5
"""After this many failed searches no other begins, since the cause may fail all of them (an expired token)."""

_EMPTY, _EXPIRED, _PAGES = 20, 5, 50_000
"""Limits of a search: empty pages in a row, expired links, and pages in all."""
_SEEN, _MARK = 1_000, 16
"""Marks of pages to keep (two for each page), and their length. They are in the input when a workflow continues."""


class FetchPage(Contract):
    """Input of `fetch_patient_page`, `fetch_observation_page` and `read_patients`: one page of one search.

    Attributes:
        search, patient, link: as in `Cursor`. `patient` is set only if the search requests one patient at a time.
        everything: whether to request all observations, since the server has refused `_lastUpdated`.
    """

    run_id: str
    server: str
    zipcode: str
    search: int | None = None
    patient: int | None = None
    link: ObjectRef | None = None
    everything: bool = False


class FetchedPage(Contract):
    """A page that was fetched and landed.

    Attributes:
        landed: its resources as NDJSON; `None` if it has no needed ones.
        at: the time when the page was made, or else received. It orders resources without a time of their own.
        staged: only for pages that were fetched before staging moved into the load (0.1.0).
        resources: the number of its resources.
        content: first digits of the sha256 of its resources; empty if it has none.
        next: the object with the link of the next page; `None`: this is the last page.
        server_time: the server's time in the page, or else in its answer.
        alone: if above 0, the server refused a search for so many patients, and nothing was fetched.
        total: the number of matches on all pages of the search, if the server states it.
        left_out: matches of the search for patients that are no patients of the zip code.
        failures: issues of the severity error or fatal among its entries.
        refusal: why the server refused the resources of a patient; nothing was fetched.
        everything: whether the server refused `_lastUpdated`, so that all observations were requested.
    """

    landed: ObjectRef | None = None
    at: datetime | None = None
    staged: LoadRequest | None = None
    resources: int = 0
    content: str = ""
    next: ObjectRef | None = None
    server_time: datetime | None = None
    alone: int = 0
    total: int | None = None
    left_out: int = 0
    failures: int = 0
    refusal: RunError | None = None
    everything: bool = False


class Cursor(Contract):
    """The position of a search: all that is needed to continue with its next page.

    Attributes:
        search: its number in the run's plan. `None`: the search for patients; below 0: a patient is read by id.
        alone: the number of its patients, if the server refused a search for several. They are then requested one
            after the other.
        patient: the position of the patient that is requested now.
        link: the object with the link of the next page; `None`: the first page.
        began: the server's time at the first page.
        seen: links and contents of the latest pages, as the first digits of their sha256.
        pages: the number of pages read so far.
        empty: the number of latest pages in a row that were empty.
        expired: how often the search was begun again.
        ended: whether all pages were read.
        found, left_out, failures: sums of `resources`, `left_out` and `failures` of the pages read so far.
        total: the latest total of these pages.
        again_for_total: whether the search was begun again, since it had fewer resources than its total.
        unsure: the positions of patients whose observations did not all come.
        delivery: what the server delivered, without the pages of a search that has not ended.
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
    found: int = 0
    total: int | None = None
    left_out: int = 0
    failures: int = 0
    again_for_total: bool = False
    unsure: tuple[int, ...] = ()
    delivery: Delivery = Delivery()

    def after(self, page: FetchedPage) -> "Cursor":
        """The position after one more page.

        Raises:
            PageLoops: the page was read before, or too many pages are empty.
        """
        if page.alone:
            return self.model_copy(update={"alone": page.alone})
        if page.refusal is not None:
            return self._after_patient({}, Delivery(patients_refused=1, refusal=page.refusal), sure=False)
        marks = self._marks(page)
        empty = 0 if page.resources else self.empty + 1
        if not set(marks).isdisjoint(self.seen):
            raise PageLoops(f"Page {self.pages + 1} of a search leads back to one that was read before.")
        if empty > _EMPTY:
            raise PageLoops(f"{_EMPTY} pages of a search, one after the other, had nothing.")
        if self.pages >= _PAGES:
            raise PageLoops(f"A search has more than {_PAGES:,} pages.")
        here: dict[str, Any] = {"began": self.began or page.server_time, "pages": self.pages + 1}
        if page.everything:
            here["delivery"] = self.delivery + Delivery(everything=True)
        found, left_out = self.found + page.resources, self.left_out + page.left_out
        failures = self.failures + page.failures
        total = self.total if page.total is None else page.total
        if page.next:
            seen = (*self.seen, *marks)[-_SEEN:]
            sums = {"found": found, "total": total, "left_out": left_out, "failures": failures}
            return self.model_copy(update={**here, **sums, "link": page.next, "seen": seen, "empty": empty})
        missing = max((total or 0) - found, 0)
        if missing and not self.again_for_total:
            return self.model_copy(update={**here, **_FIRST_PAGE, "again_for_total": True})
        answer = Delivery(
            left_out=left_out,
            answered=0 if self.search is None else 1,
            short_searches=1 if missing else 0,
            missing_resources=missing,
            search_failures=failures,
        )
        return self._after_patient(here, answer, sure=not (missing or failures))

    def _marks(self, page: FetchedPage) -> tuple[str, ...]:
        """Marks of the page's content and of its link. A page of one resource may come again once.

        When resources are inserted during the search, the last resource of a page moves to the next page.
        """
        content = page.content[:_MARK]
        if page.resources == 1 and content in self.seen:
            content = content[::-1]
        return tuple(mark for mark in (content, page.next.sha256[:_MARK] if page.next else "") if mark)

    def _after_patient(self, here: dict[str, Any], answer: Delivery, *, sure: bool) -> "Cursor":
        """The position after all pages of a patient, or of all patients of the search."""
        update = {"delivery": self.delivery, **here, "again_for_total": False}
        update["delivery"] += answer
        if not sure:
            update["unsure"] = (*self.unsure, self.patient)
        if self.patient + 1 < self.alone:
            return self.model_copy(update={**update, **_FIRST_PAGE, "patient": self.patient + 1})
        return self.model_copy(update={**update, "ended": True})

    @property
    def completed(self) -> "CompleteSearch | None":
        """What the ended search makes known; `None` for the search for patients."""
        if self.search is None:
            return None
        if self.alone:
            return CompleteSearch(search=self.search, began=self.began, unsure=self.unsure)
        return CompleteSearch(search=self.search, began=None if self.unsure else self.began)

    def again(self) -> "Cursor | None":
        """The position at the first page, after a link has expired; `None` after too many tries."""
        if self.expired >= _EXPIRED:
            return None
        return self.model_copy(update={**_FIRST_PAGE, "expired": self.expired + 1})


_FIRST_PAGE: dict[str, Any] = {
    "link": None,
    "seen": (),
    "empty": 0,
    "found": 0,
    "total": None,
    "left_out": 0,
    "failures": 0,
}
"""The fields of a cursor at the first page of a search."""


class CompleteSearch(Contract):
    """A search whose pages are all fetched. It is complete when the earlier pages of the batch are loaded.

    Attributes:
        began: the server's time at its beginning; its patients are complete up to this time. `None`: it is unknown.
        unsure: the positions of patients, by id, whose observations did not all come.
    """

    search: int
    began: datetime | None
    unsure: tuple[int, ...] = ()


class StageFhir(Contract):
    """Input of the activity `stage_fhir`: landed NDJSON of a file or a page. Its result is `Staged`.

    Attributes:
        at: orders resources without a time of their own; `None`: the time of landing.
        exported: whether `at` is the time of an export. Exports may come in any order.
    """

    run_id: str
    server: str
    landed: ObjectRef
    at: datetime | None = None
    reload: int = 0
    exported: bool = False


class LoadPages(Contract):
    """Input of the activity `load_pages`: loads each page in a transaction, then marks complete searches.

    Attributes:
        landed: the pages with resources to load.
        requests: like `FetchedPage.staged`.
        pages: the number of pages fetched since the last call, also empty ones.
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
    """The searches of a run after it has found its patients.

    Attributes:
        patients: the number of patients that the search found.
        missing: the number of patients that the search no longer found, to read by id; numbered from -1 downwards.
        searches: the number of searches for observations, numbered from 0.
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
        delivery: what the server delivered in the ended searches.
    """

    begin: int
    end: int
    open: tuple[Cursor, ...] = ()
    pages: int = 0
    failed: int = 0
    error: RunError | None = None
    delivery: Delivery = Delivery()

    @property
    def unfinished(self) -> bool:
        """Whether searches are open, or others may still begin."""
        return bool(self.open) or (self.begin < self.end and self.failed < FAILURES)


class ImportZipcode(Contract):
    """Input of the workflow `import-zipcode`.

    Attributes:
        patients: the position of the search for patients; `None` at the beginning and at the end.
        plan: the plan; `None` until it is made.
        searches: the positions of the searches.
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
        run_id: the run that it belongs to.
    """

    run_id: str
    server: str
    zipcode: str
    pace: Pace
    searches: Searches


class FinishImport(Contract):
    """Input of the activity `finish_import`; its result is `RunTotals`.

    Attributes:
        delivery: what the server delivered. It decides whether the result is `incomplete`.
    """

    run_id: str
    server: str
    zipcode: str = ""
    report: dict[str, JsonValue] = Field(default_factory=dict)
    delivery: Delivery = Delivery()
