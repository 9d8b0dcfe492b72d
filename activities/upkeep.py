"""The activity behind the upkeep of each minute."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from library.contracts.loads import LoadOutcome
from library.contracts.runs import Run, RunError, RunFinished, RunState
from library.contracts.upkeep import KeepUp, UpkeepDone
from library.objects.staged import STAGED
from library.objects.store import ObjectStore
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from library.warehouse.sessions import Beat, end_stuck

_RUNS_AT_ONCE = 200
_CLOSED = {
    WorkflowExecutionStatus.CANCELED: "was cancelled",
    WorkflowExecutionStatus.COMPLETED: "ended",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.TERMINATED: "was terminated",
    WorkflowExecutionStatus.TIMED_OUT: "ran out of time",
}


@dataclass(frozen=True)
class UpkeepActivities:
    """Mends what a crash or an operator's hard stop left behind."""

    pool: Pool
    store: ObjectStore
    runs: RunLog
    client: Client

    @activity.defn(name="keep_up")
    async def keep_up(self, wanted: KeepUp) -> UpkeepDone:
        """Look once at sessions, runs and staged objects."""
        now = datetime.now(UTC)
        return UpkeepDone(
            sessions_ended=await end_stuck(self.pool, older_than=wanted.stuck_after, still_for=wanted.stuck_for),
            runs_closed=await AbandonedRuns(self.pool, self.runs, self.client).close(
                now - timedelta(seconds=wanted.abandoned_after), activity.heartbeat
            ),
            objects_removed=await asyncio.to_thread(
                lambda: self.store.remove(
                    self.store.keys_older_than(STAGED, now - timedelta(seconds=wanted.staged_for))
                )
            ),
        )


@dataclass(frozen=True)
class AbandonedRuns:
    """Closes runs whose workflow has ended without closing them: terminated, out of time, forgotten."""

    pool: Pool
    runs: RunLog
    client: Client

    async def close(self, before: datetime, beat: Beat = lambda: None) -> int:
        """Ask Temporal about the open runs that began before a moment; returns how many were closed."""
        closed = 0
        for run in await self.runs.open_before(before, limit=_RUNS_AT_ONCE):
            beat()
            if (ended := await self._how_it_ended(run)) is not None:
                await self.runs.finish(await self._end_of(run, ended))
                closed += 1
        return closed

    async def _how_it_ended(self, run: Run) -> str | None:
        """What became of the run's workflow, or `None` while it is open. A chain is looked at by its newest link."""
        handle = self.client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.id)
        try:
            described = await handle.describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return "is not known to Temporal any more"
            raise
        if described.raw_description.workflow_execution_info.first_run_id not in ("", run.id):
            return "was replaced by a later one"
        return _CLOSED.get(described.status) if described.status else None

    async def _end_of(self, run: Run, ended: str) -> RunFinished:
        """What was committed counts, however the workflow ended."""
        if load_ids := await ledger.loads_of_run(self.pool, run.id):
            return RunFinished(
                run_id=run.id, state=RunState.COMPLETED, result=LoadOutcome.LOADED, load_ids=tuple(load_ids)
            )
        if ended == _CLOSED[WorkflowExecutionStatus.CANCELED]:
            return RunFinished(run_id=run.id, state=RunState.CANCELLED)
        error = RunError(
            type="Abandoned",
            message=f"The run's workflow {ended} without closing the run; nothing was loaded.",
            advice="Start the run again.",
        )
        return RunFinished(run_id=run.id, state=RunState.FAILED, error=error)
