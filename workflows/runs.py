"""What every run has in common: its row in `ingest.run`, its policies, and how it ends."""

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
"""Search attributes of runs in the Web UI; `wardflow migrate` registers them. They never hold patient data."""


async def act[A, T](
    policy: ActivityPolicy, activity: Callable[Concatenate[Any, A, ...], Awaitable[T]], argument: A
) -> T:
    """Run an activity under a policy. When cancelled, wait until the activity has ended: it may have committed."""
    if workflow.cancellation_reason() is not None:
        # When an activity completes in spite of a cancellation, Temporal drops the cancellation. So stop here.
        raise asyncio.CancelledError
    result: T = await workflow.execute_activity_method(
        activity,
        argument,
        task_queue=deployment_queue(policy.queue),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        **policy.options(),
    )
    return result


async def gather_or_cancel(*steps: Awaitable[Any]) -> None:
    """Run steps at the same time. If one fails, cancel the others in order, and wait for them."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    except GeneratorExit:
        raise  # the worker evicts the workflow: see `recorded`
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def recorded[R: LoadResult | RunTotals](
    source: str, object_key: str | None, recipe: Callable[[str], Awaitable[R]], *, one_load: bool = True
) -> R:
    """Run a recipe as a run: insert the run first, and close it at the end, also after an error.

    Args:
        source: the name of the run's source.
        object_key: the landed object, if there is one at the start.
        recipe: does the work; it gets the run's id.
        one_load: whether the run is one load.
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
                subject=info.workflow_id,  # until the process that started the run writes a better one
                started_at=info.workflow_start_time,
                object_key=object_key,
                one_load=one_load,
            ),
            **BOOKKEEPING,
        )
        result = await recipe(run_id)
    except GeneratorExit:
        raise  # the worker evicts the workflow, which continues on another worker
    except BaseException as error:
        # A time-out after a cancellation counts as cancelled: the worker was frozen or gone when it came.
        cancelled = is_cancelled_exception(error) or workflow.cancellation_reason() is not None
        if not isinstance(error, FailureError) and not cancelled:
            raise  # a bug in the workflow's code: Temporal retries the task until the code is fixed
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
    """Load staged objects, unless staging found the load in the ledger."""
    if isinstance(staged, LoadResult):
        return staged
    return await act(LOAD_STAGED, LoadActivities.load_staged, staged)


async def _close(end: RunFinished) -> None:
    """Close the run. A cancellation does not stop this."""
    closing = workflow.start_local_activity_method(RunActivities.finish_run, end, **BOOKKEEPING)
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await closing


def described(error: BaseException) -> RunError:
    """The innermost failure as a `RunError`. Only this one has the cause; the outer ones are wrappers."""
    cause: BaseException = error
    while isinstance(cause.__cause__, FailureError):
        cause = cause.__cause__
    if isinstance(cause, ApplicationError):
        advice = str(cause.details[0]) if cause.details else ""
        return RunError(type=cause.type or type(cause).__name__, message=cause.message, advice=advice)
    return RunError(
        type=type(cause).__name__,
        message=str(cause),
        advice="The step did not finish in time. See the run's history in the Web UI, then start the run again.",
    )


def deployment_queue(queue: str) -> str:
    """The full name of a queue of this deployment, with the prefix of the workflow's own queue."""
    return workflow.info().task_queue.removesuffix(WORKFLOWS) + queue
