"""Wraps every activity: log lines name the run, and errors are safe to store in a history."""

import traceback
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from library.contracts.errors import WardflowError

_log = structlog.get_logger(__name__)


class ErrorBoundary(Interceptor):
    """Adds the run to log lines, and translates the library's errors into Temporal's."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the activity."""
        return _ActivityBoundary(super().intercept_activity(next))


class _ActivityBoundary(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: ANN401 - the SDK's signature
        info = activity.info()
        with structlog.contextvars.bound_contextvars(
            activity=info.activity_type, workflow_id=info.workflow_id, run_id=info.workflow_run_id, attempt=info.attempt
        ):
            return await self._execute(input)

    async def _execute(self, input: ExecuteActivityInput) -> Any:  # noqa: ANN401 - the SDK's signature
        try:
            return await super().execute_activity(input)
        except WardflowError as error:
            _log.warning("activity refused", error=type(error).__name__, retryable=error.retryable)
            # The cause is dropped, since a driver's error text may quote a cell of the file.
            raise ApplicationError(
                error.message,
                error.advice,
                type=type(error).__name__,
                non_retryable=not error.retryable,
                next_retry_delay=timedelta(seconds=error.retry_after) if error.retry_after else None,
                category=ApplicationErrorCategory.BENIGN,
            ) from None
        except FailureError:
            raise
        except Exception as error:  # noqa: BLE001 - raised again below, without its text
            # Log the trace without the error's text, which may quote a cell too.
            frames = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
            _log.error("activity failed", error=type(error).__name__, frames=frames)
            raise ApplicationError(
                f"{activity.info().activity_type} failed unexpectedly ({type(error).__name__}); the log has the trace.",
                "Look for 'activity failed' in the worker's log, and report it.",
                type=type(error).__name__,
            ) from None
