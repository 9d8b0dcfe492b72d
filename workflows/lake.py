"""The lake: archives each topic without end, and compacts all tables each hour."""

from temporalio import workflow

from workflows.policies import ARCHIVE, TIDY_LAKE
from workflows.runs import act

with workflow.unsafe.imports_passed_through():
    from activities.lake import LakeActivities
    from library.contracts.lake import ArchiveTopic, LakeTidied, TidyLake

REPEATS = 100
"""Activities before the workflow continues as new: about 700 events, eight hours."""


@workflow.defn(name="archive-topic")
class ArchiveTopicWorkflow:
    """Archives one topic. It never ends by itself; `keep-drains` starts it again if it does not run."""

    @workflow.run
    async def run(self, request: ArchiveTopic) -> None:
        """Archive, and continue as new before the history is long."""
        for _ in range(REPEATS):
            await act(ARCHIVE, LakeActivities.archive_topic, request)
        workflow.continue_as_new(
            request, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        )


@workflow.defn(name="tidy-lake")
class TidyLakeWorkflow:
    """Compacts and vacuums all tables; a schedule starts it each hour."""

    @workflow.run
    async def run(self, request: TidyLake) -> LakeTidied:
        """Compact and vacuum every table once."""
        return await act(TIDY_LAKE, LakeActivities.tidy_lake, request)
