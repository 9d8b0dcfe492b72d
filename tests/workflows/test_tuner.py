"""How much a worker does at once, by slots or by what the machine has left."""

import asyncio
from datetime import UTC

import pytest
from temporalio.client import WorkflowHistory

from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.runs import NHS, workbooks

FOUR = sorted((NHS / "kh03").iterdir())[:4]


@pytest.mark.parametrize(
    ("told", "at_once"),
    [
        ({"tuner": "resources", "target_memory": 0.01, "target_cpu": 0.01}, 1),
        ({"tuner": "resources", "target_memory": 1.0, "target_cpu": 1.0, "compute_slots": 2}, 2),
        ({"tuner": "slots", "compute_slots": 1}, 1),
    ],
)
async def test_no_more_workbooks_are_read_at_once_than_the_tuner_lets(
    settings: Settings, pool: Pool, store: ObjectStore, told: dict[str, object], at_once: int
) -> None:
    tuned = settings.model_copy(update={"worker": settings.worker.model_copy(update=told)})
    async with workbooks(tuned, pool, store) as sent:
        runs = await asyncio.gather(*(sent.ingest(path) for path in FOUR))
        histories = await asyncio.gather(
            *(sent.client.get_workflow_handle(run.workflow_id, run_id=run.id).fetch_history() for run in runs)
        )
    assert {run.state for run in runs} == {RunState.COMPLETED}
    assert most_at_once([reading(history) for history in histories]) <= at_once


def reading(history: WorkflowHistory) -> tuple[float, float]:
    """From when to when the workbook was read, by the server's clock."""
    events = {event.event_id: event for event in history.events}
    for event in history.events:
        done = event.activity_task_completed_event_attributes
        name = (
            events[done.scheduled_event_id].activity_task_scheduled_event_attributes.activity_type.name
            if (event.HasField("activity_task_completed_event_attributes"))
            else ""
        )
        if name == "stage_workbook":
            began, ended = (
                each.event_time.ToDatetime(tzinfo=UTC).timestamp() for each in (events[done.started_event_id], event)
            )
            return began, ended
    raise AssertionError("nothing was read")


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """How many spans overlap at most."""
    return max(sum(begun <= began < ended for begun, ended in spans) for began, _ in spans)
