"""Time-outs and retries of the activities of imports from FHIR."""

from datetime import timedelta

from workflows.policies import FHIR, IO, ActivityPolicy

IMPORT_BOOKS = ActivityPolicy(
    queue=IO, attempt=timedelta(minutes=30), overall=timedelta(days=1), heartbeat=timedelta(seconds=30)
)
"""Plan and sum up an import in Postgres. Sends timed heartbeats."""

FETCH = ActivityPolicy(
    queue=FHIR,
    attempt=timedelta(minutes=10),
    overall=timedelta(hours=6),
    heartbeat=timedelta(seconds=20),
    longest_retry=timedelta(minutes=1),
)
"""Fetch a page of a search. A call has its own time limit. Servers may state when to retry; retries last hours."""

EXPORT = ActivityPolicy(
    queue=FHIR,
    attempt=timedelta(minutes=10),
    overall=timedelta(hours=24),
    heartbeat=timedelta(seconds=20),
    longest_retry=timedelta(minutes=1),
)
"""Ask whether an export is ready. Large ones take hours."""

EXPORTED_FILE = ActivityPolicy(
    queue=FHIR,
    attempt=timedelta(hours=1),
    overall=timedelta(hours=6),
    heartbeat=timedelta(minutes=2),
    attempts=12,
)
"""Download a file of an export."""
