"""Imports the patients of a zip code and all their observations from a FHIR server."""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.fhir.policies import IMPORT_BOOKS
from workflows.fhir.searches import SearchWindow, history_is_long
from workflows.runs import act, gather_or_cancel, recorded

with workflow.unsafe.imports_passed_through():
    from activities.fhir.imports import FhirImportActivities
    from library.contracts.runs import RunTotals
    from library.sources.fhir.contracts import (
        FAILURES,
        SOURCE,
        Cursor,
        FinishImport,
        ImportObservations,
        ImportZipcode,
        Pace,
        Plan,
        PlanSearches,
        Searches,
    )
    from library.sources.fhir.delivery import Delivery

_FOR_PATIENTS = Searches(begin=0, end=0, open=(Cursor(search=None),))


@workflow.defn(name="import-observations")
class ImportObservationsWorkflow:
    """Runs a part of the searches of a large zip code."""

    @workflow.run
    async def run(self, request: ImportObservations) -> Searches:
        """Run the part's searches to their end."""
        searches = await SearchWindow(
            request.run_id, request.server, request.zipcode, request.pace, request.searches
        ).run()
        if searches.unfinished:
            workflow.continue_as_new(request.model_copy(update={"searches": searches}))
        return searches


@workflow.defn(name="import-zipcode")
class ImportZipcodeWorkflow:
    """Imports the patients of a zip code, then their observations: all, or those that changed since last time."""

    @workflow.run
    async def run(self, request: ImportZipcode) -> RunTotals:
        """Import one zip code. The workflow continues as new when its history is long."""

        async def recipe(run_id: str) -> RunTotals:
            plan, searches = request.plan, request.searches
            if plan is None or searches is None:
                found = await self._patients(run_id, request)
                plan = await act(
                    IMPORT_BOOKS,
                    FhirImportActivities.plan_searches,
                    PlanSearches(run_id=run_id, server=request.server, zipcode=request.zipcode),
                )
                searches = Searches(begin=-plan.missing, end=plan.searches, pages=found.pages, delivery=found.delivery)
            searches = await self._observations(run_id, request, plan, searches)
            if searches.unfinished:
                workflow.continue_as_new(
                    request.model_copy(update={"patients": None, "plan": plan, "searches": searches})
                )
            _raise_first_error(searches)
            return await act(
                IMPORT_BOOKS,
                FhirImportActivities.finish_import,
                FinishImport(
                    run_id=run_id,
                    server=request.server,
                    zipcode=request.zipcode,
                    report={"pages": searches.pages},
                    delivery=searches.delivery,
                ),
            )

        return await recorded(SOURCE, None, recipe, one_load=False)

    async def _patients(self, run_id: str, request: ImportZipcode) -> Searches:
        found = await SearchWindow(
            run_id, request.server, request.zipcode, request.pace, request.patients or _FOR_PATIENTS
        ).run()
        if found.unfinished:
            workflow.continue_as_new(request.model_copy(update={"patients": found}))
        _raise_first_error(found)
        return found

    async def _observations(self, run_id: str, request: ImportZipcode, plan: Plan, searches: Searches) -> Searches:
        runner = SplitImport if plan.searches > request.pace.large else SearchWindow
        return await runner(run_id, request.server, request.zipcode, request.pace, searches).run()


class SplitImport:
    """Divides a large zip code among child workflows. Each runs one search at a time, `window` of them at once."""

    def __init__(self, run_id: str, server: str, zipcode: str, pace: Pace, searches: Searches) -> None:
        self._common: dict[str, Any] = {
            "run_id": run_id,
            "server": server,
            "zipcode": zipcode,
            "pace": pace.model_copy(update={"window": 1}),
        }
        self._pace = pace
        self._begin, self._end = searches.begin, searches.end
        self._done = searches

    async def run(self) -> Searches:
        """Run parts until all are done or the history is long. All parts that were started have ended then."""
        await gather_or_cancel(*(self._run_parts() for _ in range(self._pace.window)))
        return self._done.model_copy(update={"begin": self._begin, "end": self._end})

    async def _run_parts(self) -> None:
        while self._begin < self._end and self._done.failed < FAILURES and not history_is_long(self._pace):
            first, self._begin = self._begin, min(self._begin + self._pace.part, self._end)
            info = workflow.info()
            part = await workflow.execute_child_workflow(
                ImportObservationsWorkflow.run,
                ImportObservations(
                    **self._common,
                    searches=Searches(
                        begin=first, end=self._begin, delivery=Delivery(everything=self._done.delivery.everything)
                    ),
                ),
                id=f"{info.workflow_id}-{info.first_execution_run_id[:8]}-{first}",
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            )
            self._done = self._done.model_copy(
                update={
                    "pages": self._done.pages + part.pages,
                    "failed": self._done.failed + part.failed,
                    "error": self._done.error or part.error,
                    "delivery": self._done.delivery + part.delivery,
                }
            )


def _raise_first_error(searches: Searches) -> None:
    """Fail the run if a search failed, or if the server refused all patients."""
    error = searches.error or (searches.delivery.refusal if searches.delivery.all_refused else None)
    if error is not None:
        raise ApplicationError(error.message, error.advice, type=error.type, non_retryable=True)
