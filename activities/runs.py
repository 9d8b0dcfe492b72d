"""Activities that write the rows of `ingest.run`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue
from temporalio import activity

from library.contracts.loads import LoadOutcome
from library.contracts.runs import RunFinished, RunStarted, RunState
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog

type ReportAtEnd = Callable[[str], Awaitable[Mapping[str, JsonValue]]]
"""Returns what a source adds to the report of a completed run; its argument is the load's id."""


@dataclass(frozen=True)
class RunActivities:
    """The first and the last step of each run's workflow.

    Attributes:
        reports: by workflow name, the function that adds to a run's report.
    """

    pool: Pool
    runs: RunLog
    reports: Mapping[str, ReportAtEnd] = field(default_factory=dict)

    @activity.defn(name="begin_run")
    async def begin_run(self, run: RunStarted) -> None:
        """Insert the run, unless the process that started it has done so."""
        await self.runs.begin(run)
        await self.runs.enter_execution(run.run_id, _execution())

    @activity.defn(name="finish_run")
    async def finish_run(self, end: RunFinished) -> None:
        """Close the run. If its load was committed, the run is completed, even if the worker died after that."""
        await self.runs.enter_execution(end.run_id, _execution())
        if end.state is not RunState.COMPLETED and (load_ids := await ledger.completing_loads(self.pool, end.run_id)):
            end = RunFinished(
                run_id=end.run_id, state=RunState.COMPLETED, result=LoadOutcome.LOADED, load_ids=tuple(load_ids)
            )
        report = self.reports.get(activity.info().workflow_type or "")
        if report is not None and end.state is RunState.COMPLETED:
            for load_id in end.load_ids:
                await self.runs.report(end.run_id, await report(load_id))
        await self.runs.finish(end, _execution())


def _execution() -> str:
    """The run id of the workflow's execution. A reset or a repetition of a run is another execution."""
    execution = activity.info().workflow_run_id
    if execution is None:
        raise RuntimeError("This activity belongs to a workflow.")
    return execution
