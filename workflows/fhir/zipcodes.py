"""Patients and all their observations by zip code, from a FHIR server."""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.fhir.searches import Sliding, history_is_long
from workflows.policies import IMPORT_BOOKS
from workflows.runs import act, recorded, together

with workflow.unsafe.imports_passed_through():
    from activities.fhir.imports import FhirImportActivities
    from library.contracts.runs import RunTotals
    from library.sources.fhir.contracts import (
        FAILURES,
        Cursor,
        FinishImport,
        ImportObservations,
        ImportZipcode,
        Pace,
        Plan,
        PlanSearches,
        Searches,
    )

_FOR_PATIENTS = Searches(begin=0, end=0, open=(Cursor(search=None),))


@workflow.defn(name="import-observations")
class ImportObservationsWorkflow:
    """A part of a large zip code's searches."""

    @workflow.run
    async def run(self, request: ImportObservations) -> Searches:
        """Run the part's searches to their end."""
        searches = await Sliding(request.run_id, request.server, request.zipcode, request.pace, request.searches).run()
        if searches.unfinished:
            workflow.continue_as_new(request.model_copy(update={"searches": searches}))
        return searches


@workflow.defn(name="import-zipcode")
class ImportZipcodeWorkflow:
    """Its patients, page by page; those that it has no more; the observations of each, all or what has changed."""

    @workflow.run
    async def run(self, request: ImportZipcode) -> RunTotals:
        """Import one zip code; continues as new as often as it takes."""

        async def recipe(run_id: str) -> RunTotals:
            plan, searches = request.plan, request.searches
            if plan is None or searches is None:
                found = await self._patients(run_id, request)
                plan = await act(
                    IMPORT_BOOKS,
                    FhirImportActivities.plan_searches,
                    PlanSearches(run_id=run_id, server=request.server, zipcode=request.zipcode),
                )
                searches = Searches(begin=-plan.missing, end=plan.searches, pages=found.pages)
            searches = await self._observations(run_id, request, plan, searches)
            if searches.unfinished:
                workflow.continue_as_new(
                    request.model_copy(update={"patients": None, "plan": plan, "searches": searches})
                )
            _refuse_failed(searches)
            return await act(
                IMPORT_BOOKS,
                FhirImportActivities.finish_import,
                FinishImport(
                    run_id=run_id, server=request.server, zipcode=request.zipcode, report={"pages": searches.pages}
                ),
            )

        return await recorded("fhir", None, recipe, one_load=False)

    async def _patients(self, run_id: str, request: ImportZipcode) -> Searches:
        found = await Sliding(
            run_id, request.server, request.zipcode, request.pace, request.patients or _FOR_PATIENTS
        ).run()
        if found.unfinished:
            workflow.continue_as_new(request.model_copy(update={"patients": found}))
        _refuse_failed(found)
        return found

    async def _observations(self, run_id: str, request: ImportZipcode, plan: Plan, searches: Searches) -> Searches:
        of = Parts if plan.searches > request.pace.large else Sliding
        return await of(run_id, request.server, request.zipcode, request.pace, searches).run()


class Parts:
    """Parts of a large zip code, each a workflow with one search at a time: the window is over the parts."""

    def __init__(self, run_id: str, server: str, zipcode: str, pace: Pace, searches: Searches) -> None:
        self._one: dict[str, Any] = {
            "run_id": run_id,
            "server": server,
            "zipcode": zipcode,
            "pace": pace.model_copy(update={"window": 1}),
        }
        self._pace = pace
        self._begin, self._end = searches.begin, searches.end
        self._done = searches

    async def run(self) -> Searches:
        """Go as far as this history reaches; parts that were begun have ended then."""
        await together(*(self._walk() for _ in range(self._pace.window)))
        return self._done.model_copy(update={"begin": self._begin, "end": self._end})

    async def _walk(self) -> None:
        while self._begin < self._end and self._done.failed < FAILURES and not history_is_long(self._pace):
            first, self._begin = self._begin, min(self._begin + self._pace.part, self._end)
            info = workflow.info()
            part = await workflow.execute_child_workflow(
                ImportObservationsWorkflow.run,
                ImportObservations(**self._one, searches=Searches(begin=first, end=self._begin)),
                id=f"{info.workflow_id}-{info.first_execution_run_id[:8]}-{first}",
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            )
            self._done = self._done.model_copy(
                update={
                    "pages": self._done.pages + part.pages,
                    "failed": self._done.failed + part.failed,
                    "error": self._done.error or part.error,
                }
            )


def _refuse_failed(searches: Searches) -> None:
    if searches.error is not None:
        error = searches.error
        raise ApplicationError(error.message, error.advice, type=error.type, non_retryable=True)
