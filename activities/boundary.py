"""Where errors leave an activity: as `ApplicationError`s whose type, text and advice are safe to keep in a history."""

from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from library.contracts.errors import WardflowError

_log = structlog.get_logger(__name__)


class ErrorBoundary(Interceptor):
    """Translates errors, so that activities raise the library's own and stay thin."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the activity."""
        return _ErrorBoundary(super().intercept_activity(next))


class _ErrorBoundary(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: ANN401 - the SDK's signature
        try:
            return await super().execute_activity(input)
        except WardflowError as error:
            # Causes stay out: the text of a driver's error may quote the very cell that was refused.
            raise ApplicationError(
                error.message,
                error.advice,
                type=type(error).__name__,
                non_retryable=not error.retryable,
                category=ApplicationErrorCategory.BENIGN,
            ) from None
        except FailureError:
            raise
        except Exception as error:  # noqa: BLE001 - it goes on, without what its text may quote
            info = activity.info()
            _log.exception("activity failed", activity=info.activity_type, run_id=info.workflow_run_id)
            raise ApplicationError(
                f"{info.activity_type} failed with an unexpected {type(error).__name__}; the trace is in the log.",
                "Look for 'activity failed' in the worker's log, and report it.",
                type=type(error).__name__,
            ) from None
