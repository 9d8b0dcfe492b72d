"""Task queues, and the time-outs and retries of activities. Without a policy, Temporal would retry forever."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy

WORKFLOWS = "workflows"
IO = "io"
COMPUTE = "compute"
LOAD = "load"
FHIR = "fhir"
STREAMS = "streams"
QUEUES = (WORKFLOWS, IO, COMPUTE, LOAD, FHIR, STREAMS)

_NEVER_HELPS = ("PayloadsTooLarge",)
"""Temporal's own failures that a retry cannot fix, but that it would retry."""


@dataclass(frozen=True)
class ActivityPolicy:
    """How long an activity may take, and how it is retried.

    Attributes:
        queue: the task queue. It limits connections (load), cores (compute), calls (fhir) or partitions (streams).
        attempt: the time of one attempt.
        overall: the time of all attempts together, with the time spent waiting for a worker.
        heartbeat: an attempt without a heartbeat for this time counts as lost.
        first_retry, longest_retry: the first and the longest pause between two attempts.
        attempts: the most attempts; 0: no limit.
    """

    queue: str
    attempt: timedelta
    overall: timedelta
    heartbeat: timedelta | None = None
    first_retry: timedelta = timedelta(seconds=1)
    longest_retry: timedelta = timedelta(seconds=30)
    attempts: int = 0

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `workflow.execute_activity`, without the queue."""
        return {
            "start_to_close_timeout": self.attempt,
            "schedule_to_close_timeout": self.overall,
            "heartbeat_timeout": self.heartbeat,
            "retry_policy": RetryPolicy(
                initial_interval=self.first_retry,
                maximum_interval=self.longest_retry,
                maximum_attempts=self.attempts,
                non_retryable_error_types=_NEVER_HELPS,
            ),
        }


BOOKKEEPING: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "schedule_to_close_timeout": timedelta(days=1),
    "retry_policy": RetryPolicy(maximum_interval=timedelta(seconds=30), non_retryable_error_types=_NEVER_HELPS),
}
"""Options of the local activities that write a row of `ingest.run`. A task of their own would cost a fifth of a
workbook's run. They are retried for a day, so that a run is closed even if Postgres was away for hours."""

DOWNLOAD = ActivityPolicy(
    queue=IO,
    attempt=timedelta(minutes=15),
    overall=timedelta(hours=6),
    heartbeat=timedelta(minutes=2),
    attempts=12,
)
"""Download a URL. The download has its own time limit (a setting, five minutes). Servers may state when to retry."""

STAGE = ActivityPolicy(
    queue=COMPUTE,
    attempt=timedelta(minutes=10),
    overall=timedelta(hours=12),
    heartbeat=timedelta(seconds=30),
)
"""Read a landed object. Sends timed heartbeats, since the child process that reads has its own time limit."""

LOAD_STAGED = ActivityPolicy(
    queue=LOAD,
    attempt=timedelta(hours=2),
    overall=timedelta(hours=12),
    heartbeat=timedelta(seconds=30),
)
"""COPY and MERGE. Sends a heartbeat with every chunk, and while Postgres works."""

SUM_UP = ActivityPolicy(queue=IO, attempt=timedelta(minutes=30), overall=timedelta(days=1))
"""Sum up a run of many loads in Postgres."""

UPKEEP = ActivityPolicy(queue=IO, attempt=timedelta(seconds=50), overall=timedelta(seconds=54), attempts=1)
"""Runs once a minute, so a failure is not retried: the next run tries again."""

DRAIN = ActivityPolicy(
    queue=STREAMS,
    attempt=timedelta(minutes=5),
    overall=timedelta(days=1),
    heartbeat=timedelta(seconds=15),
    longest_retry=timedelta(seconds=10),
)
"""Drain a partition for a minute. Sends a heartbeat with every batch and every read, and while Postgres works."""

KEEP_DRAINS = ActivityPolicy(queue=IO, attempt=timedelta(seconds=50), overall=timedelta(seconds=54), attempts=1)
"""Runs once a minute, as the upkeep does."""

ARCHIVE = ActivityPolicy(
    queue=STREAMS,
    attempt=timedelta(minutes=15),
    overall=timedelta(days=1),
    heartbeat=timedelta(seconds=45),
)
"""Archive a topic for five minutes. Sends a heartbeat about each second, but none during an append."""

TIDY_LAKE = ActivityPolicy(
    queue=COMPUTE,
    attempt=timedelta(minutes=50),
    overall=timedelta(minutes=55),
    heartbeat=timedelta(minutes=15),
)
"""Compact and vacuum every table, each hour. Sends a heartbeat with every table."""
