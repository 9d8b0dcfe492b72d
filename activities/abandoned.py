"""Closes runs whose workflow ended without closing them: terminated, timed out, or unknown to Temporal."""

from dataclasses import dataclass
from datetime import datetime

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from library.contracts.loads import LoadOutcome
from library.contracts.runs import ABANDONED, Run, RunError, RunFinished, RunState
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from library.warehouse.sessions import Beat

_RUNS_AT_ONCE = 200


@dataclass(frozen=True)
class AbandonedRuns:
    """Decides from Temporal and the ledger how such a run ended."""

    pool: Pool
    runs: RunLog
    client: Client

    async def close(self, before: datetime, *, forgotten: bool, heartbeat: Beat = lambda: None) -> int:
        """Ask Temporal about the open runs that began before a moment, and return how many were closed.

        Args:
            before: newer runs are ignored.
            forgotten: whether runs that Temporal does not know are closed too. Use it only with the right Temporal
                server and namespace, since another one knows none of the runs.
            heartbeat: called for each run.
        """
        closed = 0
        for run in await self.runs.doubtful(before, limit=_RUNS_AT_ONCE):
            heartbeat()
            status = await self._status(run)
            if status is WorkflowExecutionStatus.RUNNING or (status is None and not forgotten):
                continue
            await self.runs.finish(await self._end_of(run, status))
            closed += 1
        return closed

    async def _status(self, run: Run) -> WorkflowExecutionStatus | None:
        """The status of the newest execution of the run's chain; `None`: Temporal does not know it."""
        handle = self.client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.id)
        try:
            described = await handle.describe()
            if described.raw_description.workflow_execution_info.first_run_id not in ("", run.id):
                # The workflow id has a newer run, so ask for this run by its own id.
                described = await self.client.get_workflow_handle(run.workflow_id, run_id=run.id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return described.status

    async def _end_of(self, run: Run, status: WorkflowExecutionStatus | None) -> RunFinished:
        """A run whose load was committed is completed, even if its workflow was terminated."""
        if load_ids := await ledger.completing_loads(self.pool, run.id):
            return RunFinished(
                run_id=run.id, state=RunState.COMPLETED, result=LoadOutcome.LOADED, load_ids=tuple(load_ids)
            )
        if status is WorkflowExecutionStatus.CANCELED:
            return RunFinished(run_id=run.id, state=RunState.CANCELLED)
        kept = "nothing was loaded" if run.one_load else "rows that were loaded before stay"
        ended = "is no longer known to Temporal" if status is None else f"has ended ({status.name.lower()})"
        error = RunError(
            type=ABANDONED,
            message=f"The run's workflow {ended} and did not close the run; {kept}.",
            advice="Start the run again.",
        )
        return RunFinished(run_id=run.id, state=RunState.FAILED, error=error)
