"""Time-outs, retries and task queues: constants, in one place. Without a retry policy Temporal would retry for ever."""

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
"""Failures of Temporal itself that it would retry although no repeat can help."""


@dataclass(frozen=True)
class ActivityPolicy:
    """How long an activity may take, and how often it is tried.

    Attributes:
        queue: what bounds it: connections (load), cores (compute), calls a second (fhir), partitions (streams).
        attempt: of one attempt.
        overall: of all attempts together, waiting for a worker included.
        heartbeat: after which silence an attempt counts as lost.
    """

    queue: str
    attempt: timedelta
    overall: timedelta
    heartbeat: timedelta | None = None
    first_retry: timedelta = timedelta(seconds=1)
    longest_retry: timedelta = timedelta(seconds=30)
    attempts: int = 0

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `workflow.execute_activity`, but for the queue."""
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
"""A row of `ingest.run`, written by a local activity: a few milliseconds of work are not worth a task of their own.
Tried for a day, so that no run stays open because a server was away."""

IMPORT_BOOKS = ActivityPolicy(
    queue=IO, attempt=timedelta(minutes=30), overall=timedelta(days=1), heartbeat=timedelta(seconds=30)
)
"""What an import plans and sums up in Postgres, beside its loads: beats by the clock."""

DOWNLOAD = ActivityPolicy(
    queue=IO,
    attempt=timedelta(minutes=15),
    overall=timedelta(hours=6),
    heartbeat=timedelta(minutes=2),
    attempts=12,
)
"""Fetch a URL: the download has a deadline of its own, five minutes unless set; servers say when to come again."""

STAGE = ActivityPolicy(
    queue=COMPUTE,
    attempt=timedelta(minutes=10),
    overall=timedelta(hours=12),
    heartbeat=timedelta(seconds=30),
)
"""Read a landed object: beats by the clock, since the reading process has a time limit of its own."""

LOAD_STAGED = ActivityPolicy(
    queue=LOAD,
    attempt=timedelta(hours=2),
    overall=timedelta(hours=12),
    heartbeat=timedelta(seconds=30),
)
"""COPY and MERGE: beats with every chunk, and while Postgres is seen at work."""

FETCH = ActivityPolicy(
    queue=FHIR,
    attempt=timedelta(minutes=10),
    overall=timedelta(hours=6),
    heartbeat=timedelta(seconds=20),
    longest_retry=timedelta(minutes=1),
)
"""A page of a search: a call has a deadline of its own. Busy servers say when to come again; others get hours."""

EXPORT = ActivityPolicy(
    queue=FHIR,
    attempt=timedelta(minutes=10),
    overall=timedelta(hours=24),
    heartbeat=timedelta(seconds=20),
    longest_retry=timedelta(minutes=1),
)
"""Ask whether an export is ready: large ones take hours."""

EXPORTED_FILE = ActivityPolicy(
    queue=FHIR,
    attempt=timedelta(hours=1),
    overall=timedelta(hours=6),
    heartbeat=timedelta(minutes=2),
    attempts=12,
)
"""Download a file of an export."""

UPKEEP = ActivityPolicy(queue=IO, attempt=timedelta(seconds=50), overall=timedelta(seconds=54), attempts=1)
"""Once a minute: what fails is tried again in the next."""

DRAIN = ActivityPolicy(
    queue=STREAMS,
    attempt=timedelta(minutes=5),
    overall=timedelta(days=1),
    heartbeat=timedelta(seconds=15),
    longest_retry=timedelta(seconds=10),
)
"""A minute of a partition: beats with every batch, every look at an idle partition, and while Postgres is at work."""

KEEP_DRAINS = ActivityPolicy(queue=IO, attempt=timedelta(seconds=50), overall=timedelta(seconds=54), attempts=1)
"""Once a minute, as the upkeep."""

ARCHIVE = ActivityPolicy(
    queue=STREAMS,
    attempt=timedelta(minutes=15),
    overall=timedelta(days=1),
    heartbeat=timedelta(seconds=45),
)
"""Five minutes of a topic into the lake: beats with every read, a second apart at most, but for an append's time."""

TIDY_LAKE = ActivityPolicy(
    queue=COMPUTE,
    attempt=timedelta(minutes=50),
    overall=timedelta(minutes=55),
    heartbeat=timedelta(minutes=15),
)
"""Compaction and vacuum of every table, each hour: beats with every table."""
