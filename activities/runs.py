"""Activities that keep `ingest.run` true."""

from dataclasses import dataclass

from temporalio import activity

from library.contracts.runs import RunFinished, RunStarted
from library.warehouse.runs import RunLog


@dataclass(frozen=True)
class RunActivities:
    """What each workflow does first and last."""

    runs: RunLog

    @activity.defn(name="begin_run")
    async def begin_run(self, run: RunStarted) -> None:
        """Enter the run, if whoever started it has not."""
        await self.runs.begin(run)

    @activity.defn(name="finish_run")
    async def finish_run(self, end: RunFinished) -> None:
        """Close the run."""
        await self.runs.finish(end)
