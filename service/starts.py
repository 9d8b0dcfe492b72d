"""Starting runs, whatever the source: land what arrived, start its workflow, enter the run."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog
from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError

from config.settings import Settings
from library.contracts.base import Contract
from library.contracts.loads import LoadResult
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunStarted, RunTotals
from library.objects.store import ObjectStore, Progress
from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.addresses import postgres_server, store_server, temporal_server
from service.temporal import request_error
from service.waiting import waiting_for
from workflows.policies import WORKFLOWS
from workflows.runs import SOURCE as SOURCE_ATTRIBUTE

_log = structlog.get_logger(__name__)

type RunHandle = WorkflowHandle[Any, Any]
"""The handle of a run. Its result is a `LoadResult`, or `RunTotals` for a run of many loads."""


@dataclass(frozen=True)
class Starter:
    """Lands objects and starts runs. The `starts.py` of each source uses it."""

    settings: Settings
    client: Client
    store: ObjectStore
    pool: Pool

    async def start(
        self,
        workflow: str,
        request: Contract,
        *,
        workflow_id: str,
        source: str,
        subject: str,
        object_key: str | None,
        one_load: bool = True,
    ) -> RunHandle:
        """Start a workflow, or join the open one with its id, and insert its run.

        Args:
            workflow: the workflow's name.
            request: the workflow's input.
            workflow_id: a business identity. The same work has the same id, so it runs once at a time.
            source: the run's source.
            subject: what the run loads, for people.
            object_key: the landed object that it reads, if it is known.
            one_load: whether the run is one load.

        Raises:
            TemporalUnavailable: Temporal does not answer.
            TemporalRefused: Temporal refuses the start.
        """
        try:
            with waiting_for(temporal_server(self.settings), "it has not taken the run yet"):
                handle = await self.client.start_workflow(
                    workflow,
                    request,
                    id=self.settings.worker.queue_prefix + workflow_id,
                    task_queue=self.settings.worker.queue_prefix + WORKFLOWS,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    result_type=LoadResult if one_load else RunTotals,
                    search_attributes=TypedSearchAttributes([SearchAttributePair(SOURCE_ATTRIBUTE, source)]),
                )
        except RPCError as error:
            raise request_error(error) from error
        started = RunStarted(
            run_id=run_id(handle),
            workflow_id=handle.id,
            workflow=workflow,
            source=source,
            subject=subject,
            started_at=datetime.now(UTC),
            object_key=object_key,
            one_load=one_load,
        )
        try:
            with waiting_for(postgres_server(self.settings), "the run is entered there"):
                await RunLog(self.pool).begin(started)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            # The run is under way whatever Postgres says now; its first step enters it.
            _log.warning("run not entered by its starter", run_id=started.run_id, error=type(error).__name__)
        return handle

    async def land(self, land: Callable[..., ObjectRef], progress: Progress) -> ObjectRef:
        """Store an object.

        Args:
            land: stores the object, in a thread; it is called with `progress`.
            progress: called with the number of sent bytes.
        """
        loop = asyncio.get_running_loop()
        with waiting_for(store_server(self.settings), "a file is prepared and sent to it") as waiting:

            def sent(size: int) -> None:
                progress(size)
                loop.call_soon_threadsafe(waiting.begin)

            return await asyncio.to_thread(land, progress=sent)


def run_id(handle: RunHandle) -> str:
    """The run's id: the first run id of its execution chain."""
    return handle.first_execution_run_id or handle.result_run_id or ""
