"""Answers with a run: of a query, or of a start."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, Field
from temporalio.service import RPCError

from activities.abandoned import AbandonedRuns
from library.access.tokens import Principal
from library.contracts.errors import WardflowError
from library.contracts.runs import Run, RunState
from service.api.context import Context
from service.api.patient_data import refuse_unless_seen
from service.api.problems import NotFound
from service.starts import RunHandle, run_id
from service.temporal import history_link

_TEMPORAL_MAY_TAKE = 2.0
"""Seconds."""


RunId = Annotated[
    str, Path(description="The run's id. `GET /runs` lists runs.", examples=["019ac2f0-5d7e-7c3b-9f11-2b8f0c6a4d10"])
]


no_such_run = partial(NotFound, "There is no run with this id.", advice="`GET /runs` lists them.", field="run_id")


class RunAnswer(Run):
    """A run, and where the Web UI shows its history."""

    history: str | None = Field(default=None, description="Its history in Temporal's Web UI.")


class Started(BaseModel):
    """A run that was started, or the open one that was joined."""

    run_id: str
    state: RunState = RunState.RUNNING


async def as_it_is(api: Context, wanted: str, caller: Principal) -> RunAnswer:
    """The run with this id, after open runs were checked in Temporal. Raises the errors of `as_stored`."""
    await ask_temporal(api)
    return await as_stored(api, wanted, caller)


async def as_stored(api: Context, wanted: str, caller: Principal) -> RunAnswer:
    """The run with this id, as it is stored.

    Raises:
        NotFound: there is no such run.
        Forbidden: it concerns patients, and the caller may not read patient data.
    """
    found = await api.runs.get(wanted) if "\0" not in wanted else None
    if found is None:
        raise no_such_run()
    refuse_unless_seen(caller, found.source)
    return RunAnswer(**found.model_dump(), history=history_link(api.settings, found))


async def accepted(api: Context, caller: Principal, response: Response, handle: RunHandle) -> Started:
    """The answer to a start: 202 and the run's address. The start is written to the audit first."""
    await started_by(api, caller, handle)
    response.headers["Location"] = f"/runs/{run_id(handle)}"
    return Started(run_id=run_id(handle))


async def started_by(api: Context, caller: Principal, handle: RunHandle) -> None:
    """Write to the audit who started a run."""
    await api.audit.record(str(caller.token_id), "start_run", handle.id)


async def ask_temporal(api: Context) -> None:
    """Close runs whose workflow ended without closing them. If Temporal is away, nothing is changed."""
    now = datetime.now(UTC)
    if not await api.runs.doubtful(now, limit=1):
        return
    try:
        async with asyncio.timeout(_TEMPORAL_MAY_TAKE):
            await AbandonedRuns(api.pool, api.runs, api.starter.client).close(now, forgotten=False)
    except (TimeoutError, RPCError, WardflowError):
        return
