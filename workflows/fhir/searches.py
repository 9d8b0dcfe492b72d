"""Runs searches of a FHIR server: several at once, the pages of each in order, and loads at the same time."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.fhir.policies import FETCH
from workflows.policies import LOAD_STAGED
from workflows.runs import act, described, gather_or_cancel

with workflow.unsafe.imports_passed_through():
    from activities.fhir.imports import FhirImportActivities
    from activities.fhir.pages import FhirActivities
    from library.contracts.errors import WardflowError
    from library.contracts.runs import RunError
    from library.sources.fhir.contracts import (
        FAILURES,
        CompleteSearch,
        Cursor,
        FetchedPage,
        FetchPage,
        LoadPages,
        Pace,
        Searches,
        StageFhir,
    )
    from library.sources.fhir.errors import PageLoops, SearchExpired

_BATCH = 20
"""Most pages that one activity loads; each page is a transaction."""


def history_is_long(pace: Pace) -> bool:
    """Whether it is time to continue as new."""
    info = workflow.info()
    return info.is_continue_as_new_suggested() or info.get_current_history_length() >= pace.events


class SearchWindow:
    """Runs up to `pace.window` searches at once until all have ended or the history is long.

    The result has a cursor for each search that has not ended, so the next run can continue it.
    """

    def __init__(self, run_id: str, server: str, zipcode: str, pace: Pace, searches: Searches) -> None:
        self._common = {"run_id": run_id, "server": server}
        self._zipcode = zipcode
        self._pace = pace
        self._resumed = deque(searches.open)
        self._begin, self._end = searches.begin, searches.end
        self._open: list[Cursor] = []
        self._pages = searches.pages
        self._failed, self._error = searches.failed, searches.error
        self._delivery = searches.delivery
        self._fetched = False
        self._searching = 0
        self._waiting: deque[FetchedPage | CompleteSearch] = deque()

    async def run(self) -> Searches:
        """Run until all searches have ended or the history is long. All fetched pages are loaded then."""
        self._searching = self._pace.window
        await gather_or_cancel(self._load(), *(self._run_searches() for _ in range(self._pace.window)))
        return Searches(
            begin=self._begin,
            end=self._end,
            open=(*self._open, *self._resumed),
            pages=self._pages,
            failed=self._failed,
            error=self._error,
            delivery=self._delivery,
        )

    async def _run_searches(self) -> None:
        """Run one search after the other: one place of the window."""
        try:
            while cursor := self._next():
                try:
                    await self._run_search(cursor)
                except ActivityError as error:
                    if is_cancelled_exception(error) or workflow.cancellation_reason() is not None:
                        raise
                    self._fail(described(error))
                except PageLoops as error:
                    self._fail(_as_run_error(error))
        finally:
            self._searching -= 1

    def _next(self) -> Cursor | None:
        if self._fetched and history_is_long(self._pace):
            return None
        if self._resumed:
            return self._resumed.popleft()
        if self._begin >= self._end or self._failed >= FAILURES:
            return None
        self._begin += 1
        return Cursor(search=self._begin - 1)

    async def _run_search(self, cursor: Cursor) -> None:
        while not cursor.ended:
            await workflow.wait_condition(lambda: len(self._waiting) < 2 * _BATCH)  # let the loads catch up
            cursor = await self._fetch_page(cursor)
            self._fetched = True
            if not cursor.ended and history_is_long(self._pace):
                self._open.append(cursor)
                return
        self._delivery += cursor.delivery
        if cursor.completed is not None:
            self._waiting.append(cursor.completed)

    async def _fetch_page(self, cursor: Cursor) -> Cursor:
        request = FetchPage(
            **self._common,
            zipcode=self._zipcode,
            search=cursor.search,
            patient=cursor.patient if cursor.alone else None,
            link=cursor.link,
            everything=self._delivery.everything or cursor.delivery.everything,
        )
        try:
            page = await act(FETCH, _activity_of(cursor), request)
        except ActivityError as error:
            again = cursor.again() if described(error).type == SearchExpired.__name__ else None
            if again is None:
                raise
            return again
        following = cursor.after(page)
        self._pages += following.pages - cursor.pages
        self._waiting.append(page)
        return following

    async def _load(self) -> None:
        """Load pages in the order in which they were fetched. A search is complete after its last page."""
        while True:
            await workflow.wait_condition(lambda: bool(self._waiting) or not self._searching)
            if not self._waiting:
                return
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            pages = [each for each in batch if isinstance(each, FetchedPage)]
            await act(
                LOAD_STAGED,
                FhirImportActivities.load_pages,
                LoadPages(
                    **self._common,
                    landed=tuple(
                        StageFhir(**self._common, landed=page.landed, at=page.at) for page in pages if page.landed
                    ),
                    requests=tuple(page.staged for page in pages if page.staged),
                    complete=tuple(each for each in batch if isinstance(each, CompleteSearch)),
                    pages=len(pages),
                ),
            )

    def _fail(self, error: RunError) -> None:
        """Keep the first error. Other searches continue, and their rows stay."""
        self._failed += 1
        self._error = self._error or error


def _activity_of(cursor: Cursor) -> Callable[[Any, FetchPage], Awaitable[FetchedPage]]:
    if cursor.search is None:
        return FhirActivities.fetch_patient_page
    return FhirActivities.read_patients if cursor.search < 0 else FhirActivities.fetch_observation_page


def _as_run_error(error: WardflowError) -> RunError:
    return RunError(type=type(error).__name__, message=error.message, advice=error.advice)
