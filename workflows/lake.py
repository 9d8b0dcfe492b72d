"""The lake: each topic into its bronze table, for ever; all tables tidied each hour."""

from temporalio import workflow

from workflows.policies import ARCHIVE, TIDY_LAKE
from workflows.runs import act

with workflow.unsafe.imports_passed_through():
    from activities.lake import LakeActivities
    from library.contracts.lake import ArchiveTopic, LakeTidied, TidyLake

REPEATS = 100
"""Activities of one run: some 700 events, eight hours."""


@workflow.defn(name="archive-topic")
class ArchiveTopicWorkflow:
    """One topic. It is a service: its schedule starts it again should it ever end."""

    @workflow.run
    async def run(self, wanted: ArchiveTopic) -> None:
        """Archive, and go on as a new run before the history grows long."""
        for _ in range(REPEATS):
            await act(ARCHIVE, LakeActivities.archive_topic, wanted)
        workflow.continue_as_new(
            wanted, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        )


@workflow.defn(name="tidy-lake")
class TidyLakeWorkflow:
    """Compaction and vacuum, started by a schedule."""

    @workflow.run
    async def run(self, wanted: TidyLake) -> LakeTidied:
        """Look after every table once."""
        return await act(TIDY_LAKE, LakeActivities.tidy_lake, wanted)
