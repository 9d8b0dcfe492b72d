"""What every run does first and last, so that a workflow itself is a recipe."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError, CancelledError, FailureError, is_cancelled_exception

from workflows.policies import BOOKKEEPING, LOAD_STAGED, WORKFLOWS, ActivityPolicy

with workflow.unsafe.imports_passed_through():
    from activities.loads import LoadActivities
    from activities.runs import RunActivities
    from library.contracts.loads import LoadResult, Staged
    from library.contracts.runs import RunError, RunFinished, RunStarted, RunState, RunTotals

SOURCE = SearchAttributeKey.for_keyword("Source")
DATASET = SearchAttributeKey.for_keyword_list("Dataset")
PERIOD = SearchAttributeKey.for_keyword("Period")
ROWS = SearchAttributeKey.for_int("Rows")
SEARCH_ATTRIBUTES = (SOURCE, DATASET, PERIOD, ROWS)
"""What runs can be searched by in the Web UI; `wardflow migrate` registers them. Never patient data."""


async def act[A, T](
    policy: ActivityPolicy, activity: Callable[Concatenate[Any, A, ...], Awaitable[T]], argument: A
) -> T:
    """Run an activity under its policy, and when cancelled wait for what became of it: it may have committed."""
    if workflow.cancellation_reason() is not None:
        # A cancellation is forgotten when the step that it met completes all the same: no further one begins.
        raise asyncio.CancelledError
    result: T = await workflow.execute_activity_method(
        activity,
        argument,
        task_queue=beside_workflows(policy.queue),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        **policy.options(),
    )
    return result


async def together(*steps: Awaitable[Any]) -> None:
    """Run steps side by side; where one fails, the others are cancelled, in their order, and waited for."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    except GeneratorExit:
        raise  # its worker lets go of the run: see `recorded`
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def recorded[R: LoadResult | RunTotals](
    source: str, object_key: str | None, recipe: Callable[[str], Awaitable[R]], *, one_load: bool = True
) -> R:
    """Run a recipe as a run: entered first, closed last, whatever becomes of it.

    Args:
        source: whose run it is.
        object_key: the landed object, where there is one from the start.
        recipe: called with the run's id.
        one_load: whether one load is all of the run.
    """
    info = workflow.info()
    run_id = info.first_execution_run_id
    try:
        await workflow.execute_local_activity_method(
            RunActivities.begin_run,
            RunStarted(
                run_id=run_id,
                workflow_id=info.workflow_id,
                workflow=info.workflow_type,
                source=source,
                subject=info.workflow_id,  # until whoever started it says better
                started_at=info.workflow_start_time,
                object_key=object_key,
                one_load=one_load,
            ),
            **BOOKKEEPING,
        )
        result = await recipe(run_id)
    except GeneratorExit:
        raise  # its worker lets go of the run, which goes on elsewhere
    except BaseException as error:
        # A time-out that follows a cancellation is its consequence: a worker that was frozen or gone when it came.
        cancelled = is_cancelled_exception(error) or workflow.cancellation_reason() is not None
        if not isinstance(error, FailureError) and not cancelled:
            raise  # a mistake in the workflow's own code: its task is repeated until the code is mended
        if cancelled:
            await _close(RunFinished(run_id=run_id, state=RunState.CANCELLED))
            raise CancelledError("cancelled") from error
        await _close(RunFinished(run_id=run_id, state=RunState.FAILED, error=described(error)))
        raise
    rows = sum(counts.inserted + counts.updated + counts.unchanged for counts in result.counts.values())
    workflow.upsert_search_attributes(
        [
            DATASET.value_set(sorted(result.counts)),
            ROWS.value_set(rows),
            *([PERIOD.value_set(str(result.report["period_end"]))] if "period_end" in result.report else []),
        ]
    )
    load_ids = (str(result.load_id),) if isinstance(result, LoadResult) else ()
    await _close(RunFinished(run_id=run_id, state=RunState.COMPLETED, result=result.outcome, load_ids=load_ids))
    return result


async def loaded(staged: Staged) -> LoadResult:
    """Load what was staged, unless the ledger had it already."""
    if isinstance(staged, LoadResult):
        return staged
    return await act(LOAD_STAGED, LoadActivities.load_staged, staged)


async def _close(end: RunFinished) -> None:
    """Close the run; a cancellation comes too late for that."""
    closing = workflow.start_local_activity_method(RunActivities.finish_run, end, **BOOKKEEPING)
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await closing


def described(error: BaseException) -> RunError:
    """The innermost failure, which alone says what happened: `str(ActivityError)` says nothing."""
    cause: BaseException = error
    while isinstance(cause.__cause__, FailureError):
        cause = cause.__cause__
    if isinstance(cause, ApplicationError):
        advice = str(cause.details[0]) if cause.details else ""
        return RunError(type=cause.type or type(cause).__name__, message=cause.message, advice=advice)
    return RunError(
        type=type(cause).__name__,
        message=str(cause),
        advice="The step did not finish in its time: see the run's history in the Web UI, then start the run again.",
    )


def beside_workflows(queue: str) -> str:
    """The name of another queue of the same deployment: the workflow's own queue tells the prefix."""
    return workflow.info().task_queue.removesuffix(WORKFLOWS) + queue
