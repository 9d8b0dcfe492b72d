"""What has to be looked after each minute, started by a schedule."""

from temporalio import workflow

from workflows.policies import UPKEEP
from workflows.runs import act

with workflow.unsafe.imports_passed_through():
    from activities.upkeep import UpkeepActivities
    from library.contracts.upkeep import KeepUp, UpkeepDone


@workflow.defn(name="upkeep")
class UpkeepWorkflow:
    """Ends stuck sessions, closes runs whose workflow is gone, removes staged objects that nobody took and old keys."""

    @workflow.run
    async def run(self) -> UpkeepDone:
        """Look once."""
        return await act(UPKEEP, UpkeepActivities.keep_up, KeepUp())
