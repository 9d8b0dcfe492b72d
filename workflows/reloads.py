"""Reads the landed objects of a source again that an older version of its reader has read."""

from temporalio import workflow

from workflows.policies import LOAD_STAGED, SUM_UP
from workflows.runs import act, recorded

with workflow.unsafe.imports_passed_through():
    from activities.reloads import ReloadActivities
    from library.contracts.reloads import FinishReload, ReloadObjects, ReloadOlder
    from library.contracts.runs import RunTotals


@workflow.defn(name="reload-older")
class ReloadOlderWorkflow:
    """Read and load some objects at a time until none is left. It continues as new when its history is long."""

    @workflow.run
    async def run(self, request: ReloadOlder) -> RunTotals:
        """Reload one source."""

        async def recipe(run_id: str) -> RunTotals:
            after, objects, refused = request.after, request.objects, request.refused
            while True:
                done = await act(
                    LOAD_STAGED,
                    ReloadActivities.reload_objects,
                    ReloadObjects(run_id=run_id, source=request.source, after=after),
                )
                if done.last is None:
                    break
                after, objects, refused = done.last, objects + done.objects, refused + done.refused
                if workflow.info().get_current_history_length() > request.events:
                    more = {"after": after, "objects": objects, "refused": refused}
                    workflow.continue_as_new(request.model_copy(update=more))
            return await act(
                SUM_UP,
                ReloadActivities.finish_reload,
                FinishReload(run_id=run_id, source=request.source, objects=objects, refused=refused),
            )

        return await recorded(request.source, None, recipe, one_load=False)
