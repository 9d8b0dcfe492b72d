"""Drains of streams: one workflow for each partition, and the one that starts them."""

from temporalio import workflow

from workflows.policies import DRAIN, KEEP_DRAINS
from workflows.runs import act

with workflow.unsafe.imports_passed_through():
    from activities.streams import StreamActivities
    from library.contracts.drains import DrainOutcome, DrainTopic, KeepDrains, KeptDrains

ACTIVITIES = 100
"""Activities before the workflow continues as new: about 600 events."""


@workflow.defn(name="drain-topic")
class DrainTopicWorkflow:
    """Drains a partition, minute by minute. Its state is in Postgres, so it can be reset or started again freely."""

    def __init__(self) -> None:
        self._resumed = False

    @workflow.signal
    def resume(self) -> None:
        """Check the partition once more before ending: it was resumed after an activity found it paused."""
        self._resumed = True

    @workflow.run
    async def run(self, request: DrainTopic) -> None:
        """Drain until the partition is paused or stopped."""
        for _ in range(ACTIVITIES):
            self._resumed = False
            done = await act(DRAIN, StreamActivities.drain_partition, request)
            if done.outcome in (DrainOutcome.PAUSED, DrainOutcome.STOPPED) and not self._resumed:
                return
        workflow.continue_as_new(
            request, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        )


@workflow.defn(name="keep-drains")
class KeepDrainsWorkflow:
    """Starts the drains and archives that do not run; a schedule starts it each minute."""

    @workflow.run
    async def run(self) -> KeptDrains:
        """Check once."""
        return await act(KEEP_DRAINS, StreamActivities.keep_drains, KeepDrains())
