"""Workflows that run by the clock."""

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
    """A workflow that runs by the clock, one run at a time.

    Attributes:
        name: of the schedule, and of its workflow's id.
        workflow: its `run` method.
        arguments: of the workflow, from the settings.
        wanted: whether the settings want it.
        at_once: whether making the schedule also starts a run, rather than when the first interval has passed.
    """

    name: str
    workflow: Callable[..., Awaitable[Any]]
    every: timedelta
    arguments: Callable[[Settings], tuple[object, ...]] = _nothing
    wanted: Callable[[Settings], bool] = _always
    at_once: bool = False

    def id(self, settings: Settings) -> str:
        """Its id in the namespace."""
        return settings.worker.queue_prefix + self.name

    async def make(self, client: Client, settings: Settings) -> None:
        """Make the schedule, or bring it up to date.

        The next run waits for the one before: a skipped run would be lost without a word.
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
            schedule.state = present.description.schedule.state  # a schedule that somebody has paused stays paused
            return ScheduleUpdate(schedule=schedule)

        handle = client.get_schedule_handle(self.id(settings))
        try:
            await client.create_schedule(self.id(settings), schedule)
        except ScheduleAlreadyRunningError:
            await handle.update(update)
        if self.at_once:
            await handle.trigger()
