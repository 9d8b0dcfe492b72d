"""Says, while runs are followed, which steps are repeated or wait for a worker."""

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
from service.waiting import waiting_for

_LOOK_EVERY = 1.5
"""Seconds between two looks at a run; most runs have ended before the first one."""
_ANSWER_WITHIN = timedelta(seconds=5)
_TAKEN_WITHIN = timedelta(seconds=5)
"""A step that no worker has taken for so long is told of."""
_ANSWERED_WITHIN = timedelta(seconds=2)
_FETCHING = (
    "download_workbook",
    "fetch_patient_page",
    "fetch_observation_page",
    "read_patients",
    "begin_export",
    "fetch_manifest",
    "download_exported",
)
"""Steps that fetch from a server elsewhere."""
_LINES = 30
"""Lines at most: a reason that is another each time must not fill the screen."""


@dataclass
class StepWatcher:
    """Of all runs that a command follows; the same step with the same reason is told once.

    Attributes:
        temporal: which server is asked.
        say: gets a line.
    """

    client: Client
    temporal: Server
    say: Callable[[str], object]
    _told: set[tuple[str, str]] = field(default_factory=set)

    async def watch(self, workflow_id: str, name: str, source: str = "") -> None:
        """Look at a run until cancelled.

        Args:
            workflow_id: of the run; its newest link is looked at.
            name: what the run is about, for people.
            source: which server elsewhere it fetches from, as far as that is known.
        """
        with ExitStack() as away:
            is_away = False
            while True:
                await asyncio.sleep(_LOOK_EVERY)
                try:
                    await self._look(workflow_id, name, source or "a server elsewhere")
                    away.close()
                    is_away = False
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND and not is_away:
                        away.enter_context(waiting_for(self.temporal, "the run cannot be followed at this moment"))
                        is_away = True
                except WardflowError:
                    return  # its payloads cannot be read here; the run itself is followed all the same

    async def _look(self, workflow_id: str, name: str, source: str) -> None:
        handle = self.client.get_workflow_handle(workflow_id)
        now = (await handle.describe(rpc_timeout=_ANSWER_WITHIN)).raw_description
        before, asked_before = datetime.now(UTC) - _TAKEN_WITHIN, datetime.now(UTC) - _ANSWERED_WITHIN
        # Of a first or last step it is the same: they are part of it, and are repeated while Postgres is away.
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
        if (step, reason) not in self._told and len(self._told) < _LINES:
            self._told.add((step, reason))
            self.say(line)


def _begun(task: PendingWorkflowTaskInfo) -> datetime:
    has_first = task.HasField("original_scheduled_time")
    return (task.original_scheduled_time if has_first else task.scheduled_time).ToDatetime(UTC)
