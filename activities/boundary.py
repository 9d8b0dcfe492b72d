"""The edge of every activity: its log lines name the run, its errors are safe to keep in a history."""

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
    """Binds the run to the log, and translates errors, so that activities raise the library's own and stay thin."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the activity."""
        return _ErrorBoundary(super().intercept_activity(next))


class _ErrorBoundary(ActivityInboundInterceptor):
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
            # Causes stay out: the text of a driver's error may quote the very cell that was refused.
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
        except Exception as error:  # noqa: BLE001 - it goes on, without what its text may quote
            # The trace without its text, for the same reason.
            frames = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
            _log.error("activity failed", error=type(error).__name__, frames=frames)
            raise ApplicationError(
                f"{activity.info().activity_type} failed unexpectedly ({type(error).__name__}); the log has the trace.",
                "Look for 'activity failed' in the worker's log, and report it.",
                type=type(error).__name__,
            ) from None
