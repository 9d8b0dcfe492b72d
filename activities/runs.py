"""Activities that keep `ingest.run` true."""

from dataclasses import dataclass

from temporalio import activity

from library.contracts.loads import LoadOutcome
from library.contracts.runs import RunFinished, RunStarted, RunState
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog


@dataclass(frozen=True)
class RunActivities:
    """What each workflow does first and last."""

    pool: Pool
    runs: RunLog

    @activity.defn(name="begin_run")
    async def begin_run(self, run: RunStarted) -> None:
        """Enter the run, if whoever started it has not."""
        await self.runs.begin(run)

    @activity.defn(name="finish_run")
    async def finish_run(self, end: RunFinished) -> None:
        """Close the run; what was committed counts, also where the worker died before it could say so."""
        if end.state is not RunState.COMPLETED and (load_ids := await ledger.completing_loads(self.pool, end.run_id)):
            end = RunFinished(
                run_id=end.run_id, state=RunState.COMPLETED, result=LoadOutcome.LOADED, load_ids=tuple(load_ids)
            )
        await self.runs.finish(end)
