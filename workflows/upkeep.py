"""The upkeep: cleans up each minute; a schedule starts it."""

from temporalio import workflow

from workflows.policies import UPKEEP
from workflows.runs import act

with workflow.unsafe.imports_passed_through():
    from activities.upkeep import UpkeepActivities
    from library.contracts.upkeep import KeepUp, UpkeepDone


@workflow.defn(name="upkeep")
class UpkeepWorkflow:
    """Ends stuck sessions, closes abandoned runs, removes unused staged objects and old idempotency keys."""

    @workflow.run
    async def run(self) -> UpkeepDone:
        """Clean up once."""
        return await act(UPKEEP, UpkeepActivities.keep_up, KeepUp())
