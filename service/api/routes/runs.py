"""`/runs`: every run. The routes need no worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from itertools import count
from typing import Annotated, Literal

import asyncpg
from fastapi import APIRouter, Depends, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from temporalio.service import RPCError, RPCStatusCode

from library.contracts.runs import RunState
from library.contracts.scopes import Scope
from library.warehouse.failures import DISCONNECTED
from library.warehouse.queries.runs import RUNS
from service.api.context import ApiContext
from service.api.idempotent import Idempotent
from service.api.patient_data import seen_sources
from service.api.questions import QuestionRequest, question_request
from service.api.runs import RunAnswer, RunId, as_it_is, as_stored, ask_temporal, no_such_run
from service.api.security import Caller, needs
from service.repeats import NothingToRepeat, repeat_run
from service.temporal import TemporalUnavailable

router = APIRouter(prefix="/runs", tags=["runs"], route_class=Idempotent)

_LOOK_EVERY = 0.5
_LOOKS_UNTIL_ASKED = 10
"""Checks of an event stream until Temporal is asked again whether the run is still open."""


class RunEvent(BaseModel):
    """An event of a run's stream."""

    event: Literal["run"]
    data: str = Field(description="The run, as `GET /runs/{run_id}` answers it.")


@router.get("", description=RUNS.about, **needs(RUNS.scope, items=RUNS.item_model))
async def list_runs(
    api: ApiContext,
    caller: Caller,
    asked: Annotated[QuestionRequest, Depends(question_request(RUNS))],
) -> Response:
    """List the runs that the caller may see."""
    await ask_temporal(api)
    return await asked.with_values(sources=seen_sources(caller)).answer()


@router.get("/{run_id}", **needs(Scope.OPERATE, no_such_run()))
async def get_run(run_id: RunId, api: ApiContext, caller: Caller) -> RunAnswer:
    """A run: state, phase, counts, warnings, error with type and advice, link to its history."""
    return await as_it_is(api, run_id, caller)


@router.get(
    "/{run_id}/events",
    response_class=EventSourceResponse,
    **needs(Scope.OPERATE, no_such_run(), events=RunEvent),
)
async def follow_run(
    found: Annotated[RunAnswer, Depends(get_run)], api: ApiContext, caller: Caller, response: Response
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: the run as it is now and at each change, until it has ended."""
    response.headers["Cache-Control"] = "no-store"
    sent: RunAnswer | None = None
    for look in count(1):
        if found != sent:
            yield ServerSentEvent(event="run", data=found)
            sent = found
        if found.state is not RunState.RUNNING:
            return
        await asyncio.sleep(_LOOK_EVERY)
        # A terminated workflow does not update its row, and without a worker nothing else does: ask Temporal.
        read = as_stored if look % _LOOKS_UNTIL_ASKED else as_it_is
        # FastAPI ends a failed stream as if it were complete, so a failed query is retried.
        with suppress(asyncpg.PostgresError, *DISCONNECTED):
            found = await read(api, found.id, caller)


@router.post("/{run_id}/cancel", status_code=HTTPStatus.ACCEPTED, **needs(Scope.OPERATE, no_such_run()))
async def cancel_run(run_id: RunId, api: ApiContext, caller: Caller) -> RunAnswer:
    """Ask an open run to stop; what it has loaded stays. Of a closed run nothing is asked."""
    found = await as_it_is(api, run_id, caller)
    if found.state is RunState.RUNNING:
        await api.audit.record(str(caller.token_id), "cancel_run", found.id)
        handle = api.starter.client.get_workflow_handle(found.workflow_id, first_execution_run_id=found.id)
        try:
            await handle.cancel()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise TemporalUnavailable(f"Temporal did not take the request ({error.status.name}).") from error
    return await as_stored(api, run_id, caller)


@router.post(
    "/{run_id}/repeat",
    status_code=HTTPStatus.ACCEPTED,
    **needs(Scope.OPERATE, no_such_run(), NothingToRepeat("The run is completed, so there is nothing to repeat.")),
)
async def repeat(run_id: RunId, api: ApiContext, caller: Caller) -> RunAnswer:
    """Repeat a failed or cancelled run from its first step, with the same id. An open run is left alone."""
    found = await as_it_is(api, run_id, caller)
    await api.audit.record(str(caller.token_id), "repeat_run", found.id)
    await repeat_run(api.starter.client, api.runs, found)
    return await as_stored(api, run_id, caller)
