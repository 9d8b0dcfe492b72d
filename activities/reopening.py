"""A run whose workflow was reset in Temporal is running again, from the first activity of the new execution on."""

import asyncio
from typing import Any

import asyncpg
import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from library.warehouse.failures import DISCONNECTED
from library.warehouse.runs import RunLog

_log = structlog.get_logger(__name__)

_MOST_REMEMBERED = 10_000
_MAY_TAKE = 5.0
"""Seconds. Activities that need no warehouse do not wait longer for it."""


class RunReopening(Interceptor):
    """Looks at each execution once in this process. A reset skips the activity `begin_run`, so others must tell."""

    def __init__(self, runs: RunLog, client: Client) -> None:
        self._runs = runs
        self._client = client
        self._seen: set[str] = set()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the activity."""
        return _Reopening(super().intercept_activity(next), self)

    async def look_at(self, workflow_id: str, execution: str) -> None:
        """Enter an execution that its run does not have yet, so that a closed run is open again.

        Without Postgres or Temporal, the next activity tries it.
        """
        if execution in self._seen:
            return
        try:
            async with asyncio.timeout(_MAY_TAKE):
                if await self._runs.is_another_execution(workflow_id, execution):
                    await self._runs.enter_execution(await self._run_of(workflow_id, execution), execution)
        except (TimeoutError, RPCError, asyncpg.PostgresError, *DISCONNECTED) as error:
            _log.warning("run not looked at", execution=execution, error=type(error).__name__)
            return
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen.add(execution)

    async def _run_of(self, workflow_id: str, execution: str) -> str:
        """The run's id. The same work may have been started again since, so it need not be that of the newest run."""
        described = await self._client.get_workflow_handle(workflow_id, run_id=execution).describe()
        return described.raw_description.workflow_execution_info.first_run_id


class _Reopening(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, runs: RunReopening) -> None:
        super().__init__(following)
        self._runs = runs

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: ANN401 - the SDK's signature
        info = activity.info()
        # `begin_run` and `finish_run` are local. They know which run they belong to.
        if not info.is_local and info.workflow_id and info.workflow_run_id:
            await self._runs.look_at(info.workflow_id, info.workflow_run_id)
        return await super().execute_activity(input)
