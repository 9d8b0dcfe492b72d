"""Workflows that run on a schedule."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from config.settings import Settings
from workflows.policies import WORKFLOWS


def _nothing(_: Settings) -> tuple[object, ...]:
    return ()


def _always(_: Settings) -> bool:
    return True


@dataclass(frozen=True)
class Scheduled:
    """A workflow that runs on a schedule, one run at a time.

    Attributes:
        name: the schedule's name; it is also in the workflow's id.
        workflow: the workflow's `run` method.
        every: the time between two runs.
        arguments: makes the workflow's arguments from the settings.
        wanted: whether the settings turn the schedule on.
        at_once: whether making the schedule also starts a run, rather than after the first interval.
    """

    name: str
    workflow: Callable[..., Awaitable[Any]]
    every: timedelta
    arguments: Callable[[Settings], tuple[object, ...]] = _nothing
    wanted: Callable[[Settings], bool] = _always
    at_once: bool = False

    def id(self, settings: Settings) -> str:
        """The schedule's id in the namespace."""
        return settings.worker.queue_prefix + self.name

    async def make(self, client: Client, settings: Settings) -> None:
        """Create the schedule, or update it.

        The next run waits for the one before, because a skipped run would be lost without a message.
        """
        schedule = Schedule(
            action=ScheduleActionStartWorkflow(
                self.workflow,
                args=self.arguments(settings),
                id=self.id(settings),
                task_queue=settings.worker.queue_prefix + WORKFLOWS,
                execution_timeout=self.every - timedelta(seconds=5),
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=self.every)]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.BUFFER_ONE, catchup_window=self.every),
        )

        def update(present: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule.state = present.description.schedule.state  # a paused schedule stays paused
            return ScheduleUpdate(schedule=schedule)

        handle = client.get_schedule_handle(self.id(settings))
        try:
            await client.create_schedule(self.id(settings), schedule)
        except ScheduleAlreadyRunningError:
            await handle.update(update)
        if self.at_once:
            await handle.trigger()
