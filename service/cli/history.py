"""Reads a run's steps from its Temporal histories, and decodes them. A run that continued or was reset has several."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client

from library.contracts.errors import ConfigurationError
from library.contracts.runs import Run, RunState
from workflows.runs import described

type HistoryStep = dict[str, Any]
"""`step`: the step's name with `←` (input), `→` (result), `✗` (error) or `…` (running); `payload`: the decoded data."""


async def steps_of(client: Client, found: Run) -> list[HistoryStep]:
    """The run's input, its steps in order, the running steps, and the result. Child workflows are shown by name."""
    steps: list[HistoryStep] = []
    links, seen = [*reversed(found.executions), found.id], set[str]()
    while links:
        if (link := links.pop()) in seen:
            continue
        seen.add(link)
        history = _History(client)
        handle = client.get_workflow_handle(found.workflow_id, run_id=link)
        steps += [step async for event in handle.fetch_history_events() async for step in history.steps(event)]
        if history.continued_as:
            links.append(history.continued_as)
        elif found.state is RunState.RUNNING and not {*links} - seen:
            steps += await history.pending(found.workflow_id, link)
    return steps


async def repeated_steps(client: Client, pending: Iterable[PendingActivityInfo]) -> list[tuple[str, int, str]]:
    """Steps that have failed and are retried: name, attempt, and the last failure."""
    history = _History(client)
    return [
        (each.activity_type.name, each.attempt, await history.reason(each.last_failure))
        for each in pending
        if each.HasField("last_failure")
    ]


class _History:
    """The history of one execution of the run's chain.

    Attributes:
        continued_as: the run id of the next execution; set when its event was read.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[int, str] = {}
        self.continued_as: str | None = None

    async def steps(self, event: HistoryEvent) -> AsyncIterator[HistoryStep]:
        """The step of an event, if it belongs to one."""
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                began = event.workflow_execution_started_event_attributes
                yield {"step": "input", "payload": await self._plain(began.input.payloads)}
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                name = self._names[event.event_id] = scheduled.activity_type.name
                yield {"step": f"{name} ←", "payload": await self._plain(scheduled.input.payloads)}
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                name = self._names[done.scheduled_event_id]
                yield {"step": f"{name} →", "payload": await self._plain(done.result.payloads)}
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                yield await self._failed(failed.scheduled_event_id, failed.failure)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                yield await self._failed(late.scheduled_event_id, late.failure)
            case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
                child = event.start_child_workflow_execution_initiated_event_attributes
                yield {"step": f"{child.workflow_type.name} ←", "payload": child.workflow_id}
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                self.continued_as = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                completed = event.workflow_execution_completed_event_attributes
                yield {"step": "result", "payload": await self._plain(completed.result.payloads)}

    async def pending(self, workflow_id: str, link: str) -> list[HistoryStep]:
        """Steps that run or wait for a retry, with their last failure."""
        now = await self._client.get_workflow_handle(workflow_id, run_id=link).describe()
        return [
            {
                "step": f"{each.activity_type.name} …",
                "payload": {
                    "attempt": each.attempt,
                    "last_failure": await self._last(each.last_failure) if each.HasField("last_failure") else None,
                    "next_try": each.scheduled_time.ToJsonString() if each.HasField("last_failure") else None,
                },
            }
            for each in now.raw_description.pending_activities
        ]

    async def reason(self, failure: Failure) -> str:
        """The reason of a failure, as a sentence."""
        return (await self._why(failure))["message"]

    async def _failed(self, scheduled: int, failure: Failure) -> HistoryStep:
        return {"step": f"{self._names[scheduled]} ✗", "payload": await self._why(failure)}

    async def _last(self, failure: Failure) -> dict[str, str]:
        """The failure without advice, since a step that is retried needs no action."""
        return {name: value for name, value in (await self._why(failure)).items() if name != "advice"}

    async def _why(self, failure: Failure) -> dict[str, str]:
        why: dict[str, str] = described(await self._client.data_converter.decode_failure(failure)).model_dump()
        return why

    async def _plain(self, payloads: Sequence[Payload]) -> object:
        try:
            values = await self._client.data_converter.decode(payloads)
        except KeyError:  # Temporal's converter raises it for an unknown encoding
            raise ConfigurationError(
                "Its payloads are encrypted, but encryption is turned off here.",
                advice="Unset WARDFLOW_ENCRYPTION__ENABLED; WARDFLOW_ENCRYPTION__KEY_RING names the workers' key ring.",
            ) from None
        return values[0] if len(values) == 1 else values or None
