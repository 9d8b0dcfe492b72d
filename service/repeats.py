"""Repeats a run that did not complete: its workflow is reset to its first step, under the same run id."""

from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from library.contracts.errors import WardflowError
from library.contracts.runs import Run, RunState
from library.warehouse.runs import RunLog
from service.temporal import request_error


class NothingToRepeat(WardflowError):
    """The run is completed."""

    default_advice = "To load a file again, import it with `--reload`."


class RunSuperseded(WardflowError):
    """The same work was started again, as another run."""

    default_advice = "Look at the newer run, and repeat that one if it failed too."


class NotRepeatable(WardflowError):
    """Temporal no longer has the history of the run, or there is no step in it to repeat the run from."""

    default_advice = "Start the import again."


async def repeat_run(client: Client, runs: RunLog, run: Run) -> None:
    """Repeat a failed or cancelled run from its first step. A run that is running is left alone.

    The run keeps its id. A run that continued in several executions is repeated from the beginning of the last one.
    What it has loaded stays, and loads again without an effect.

    Raises:
        NothingToRepeat: the run is completed.
        RunSuperseded: its workflow has a newer run.
        NotRepeatable: Temporal no longer has its history, or there is no step to repeat it from.
        TemporalUnavailable, TemporalRefused: Temporal does not answer, or refuses the request.
    """
    async with runs.changing(run.id) as found:
        if found is None or found.state is RunState.RUNNING:
            return
        if found.state is RunState.COMPLETED:
            raise NothingToRepeat("The run is completed, so there is nothing to repeat.")
        try:
            execution = await _repeated(client, found)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NotRepeatable("Temporal no longer has the history of this run.") from error
            raise request_error(error) from error
        await runs.enter_execution(run.id, execution)


async def _repeated(client: Client, run: Run) -> str:
    """Reset the newest execution of the run, and return the new one."""
    newest = await client.get_workflow_handle(run.workflow_id).describe()
    first = newest.raw_description.workflow_execution_info.first_run_id
    if first not in ("", run.id):
        raise RunSuperseded(f"The same work was started again, as the run {first}.")
    if newest.status is WorkflowExecutionStatus.RUNNING:
        return newest.run_id  # it was reset in the Web UI
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=run.workflow_id, run_id=newest.run_id),
        reason="repeated by Wardflow",
        workflow_task_finish_event_id=await _end_of_first_task(client, run.workflow_id, newest.run_id),
        request_id=str(uuid4()),
        # A run that was cancelled would be cancelled again.
        reset_reapply_exclude_types=[ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST],
    )
    return (await client.workflow_service.reset_workflow_execution(request)).run_id


async def _end_of_first_task(client: Client, workflow_id: str, execution: str) -> int:
    events = client.get_workflow_handle(workflow_id, run_id=execution).fetch_history_events()
    async for event in events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
            break  # what comes before the step is kept, so the run would be cancelled again
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            return event.event_id
    raise NotRepeatable("The run ended before its first step, so there is no step to repeat it from.")
