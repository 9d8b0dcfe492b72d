"""Activities that keep `ingest.run` true."""

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
"""What a source adds to the report of a completed run, given the id of its load."""


@dataclass(frozen=True)
class RunActivities:
    """What each workflow does first and last.

    Attributes:
        reports: what sources add to the reports of their runs, by the workflow's name.
    """

    pool: Pool
    runs: RunLog
    reports: Mapping[str, ReportAtEnd] = field(default_factory=dict)

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
        report = self.reports.get(activity.info().workflow_type or "")
        if report is not None and end.state is RunState.COMPLETED:
            for load_id in end.load_ids:
                await self.runs.report(end.run_id, await report(load_id))
        await self.runs.finish(end)
