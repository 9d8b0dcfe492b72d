"""Streams: drains are services, not runs; each partition by itself."""

from temporalio import workflow

from workflows.policies import DRAIN, KEEP_DRAINS
from workflows.runs import act

with workflow.unsafe.imports_passed_through():
    from activities.streams import StreamActivities
    from library.contracts.drains import DrainOutcome, DrainTopic, KeepDrains, KeptDrains

ACTIVITIES = 100
"""Of one link of the chain: some 600 events."""


@workflow.defn(name="drain-topic")
class DrainTopicWorkflow:
    """Drain a partition, minute by minute. All that counts is in Postgres: it can be reset, ended and started anew."""

    def __init__(self) -> None:
        self._resumed = False

    @workflow.signal
    def resume(self) -> None:
        """Look once more before ending: what an activity found paused may go on since."""
        self._resumed = True

    @workflow.run
    async def run(self, asked: DrainTopic) -> None:
        """Drain until the partition is paused or cannot go on."""
        for _ in range(ACTIVITIES):
            self._resumed = False
            done = await act(DRAIN, StreamActivities.drain_partition, asked)
            if done.outcome in (DrainOutcome.PAUSED, DrainOutcome.STOPPED) and not self._resumed:
                return
        workflow.continue_as_new(
            asked, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        )


@workflow.defn(name="keep-drains")
class KeepDrainsWorkflow:
    """Each minute: start the drains that are missing."""

    @workflow.run
    async def run(self) -> KeptDrains:
        """Look once."""
        return await act(KEEP_DRAINS, StreamActivities.keep_drains, KeepDrains())
