"""Reports, while runs are followed, which steps are retried or wait for a worker."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingWorkflowTaskInfo
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from library.contracts.errors import WardflowError
from service.addresses import Server
from service.cli.history import repeated_steps
from service.sources import SOURCES
from service.waiting import waiting_for

_LOOK_EVERY = 1.5
"""Seconds between two checks of a run. Most runs end before the first one."""
_ANSWER_WITHIN = timedelta(seconds=5)
_TAKEN_WITHIN = timedelta(seconds=5)
"""A step is reported if no worker has taken it for this time."""
_ANSWERED_WITHIN = timedelta(seconds=2)
_FETCHING = frozenset(name for each in SOURCES for name in each.fetching)
"""Steps that fetch from an external server."""
_LINES = 30
"""Most lines that are printed, so that changing reasons do not fill the screen."""


@dataclass
class StepWatcher:
    """Watches the steps of all runs of a command. A step with the same reason is reported once.

    Attributes:
        temporal: the Temporal server, for reports of waits.
        say: prints a line.
    """

    client: Client
    temporal: Server
    say: Callable[[str], object]
    _reported: set[tuple[str, str]] = field(default_factory=set)

    async def watch(self, workflow_id: str, name: str, source: str = "") -> None:
        """Watch a run until cancelled.

        Args:
            workflow_id: the run's workflow id; its newest execution is watched.
            name: the file or zip code, for people.
            source: the external server that it fetches from, if it is known.
        """
        with ExitStack() as away:
            is_away = False
            while True:
                await asyncio.sleep(_LOOK_EVERY)
                try:
                    await self._check(workflow_id, name, source or "an external server")
                    away.close()
                    is_away = False
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND and not is_away:
                        away.enter_context(waiting_for(self.temporal, "the run cannot be followed now"))
                        is_away = True
                except WardflowError:
                    return  # the payloads cannot be decrypted here; the run itself is still followed

    async def _check(self, workflow_id: str, name: str, source: str) -> None:
        handle = self.client.get_workflow_handle(workflow_id)
        now = (await handle.describe(rpc_timeout=_ANSWER_WITHIN)).raw_description
        before, asked_before = datetime.now(UTC) - _TAKEN_WITHIN, datetime.now(UTC) - _ANSWERED_WITHIN
        # The first and the last step are local activities of the workflow task, and are retried while Postgres is away.
        if now.HasField("pending_workflow_task") and _begun(now.pending_workflow_task) < before:
            what = "waits for a worker: all are busy, or none runs (`wardflow doctor` says which)"
            self._say("", "no worker", f"{name}: the run {what}.")
        for each in now.pending_activities:
            step = each.activity_type.name
            is_scheduled = each.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
            if each.attempt == 1 and is_scheduled and each.scheduled_time.ToDatetime(UTC) < before:
                self._say(step, "no worker", f"{name}: the step {step} waits for a free worker.")
            is_started = each.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            if step in _FETCHING and is_started and each.last_started_time.ToDatetime(UTC) < asked_before:
                self._say(step, source, f"{name}: the step {step} is still fetching from {source}.")
        for step, attempt, reason in await repeated_steps(self.client, now.pending_activities):
            self._say(step, reason, f"{name}: the step {step} is repeated (attempt {attempt}): {reason}")

    def _say(self, step: str, reason: str, line: str) -> None:
        if (step, reason) not in self._reported and len(self._reported) < _LINES:
            self._reported.add((step, reason))
            self.say(line)


def _begun(task: PendingWorkflowTaskInfo) -> datetime:
    has_first = task.HasField("original_scheduled_time")
    return (task.original_scheduled_time if has_first else task.scheduled_time).ToDatetime(UTC)
