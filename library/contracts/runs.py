"""A run as a user sees it."""

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

from library.contracts.base import Contract
from library.contracts.loads import LoadOutcome


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunError(Contract):
    """Why a run failed.

    Attributes:
        type: the name of the error's class.
        message: what is wrong, and where.
        advice: what to do.
    """

    type: str
    message: str
    advice: str = ""


class RunStarted(Contract):
    """A run as it begins.

    Attributes:
        run_id: the first run id of the execution chain.
        subject: what it is about, for people; never patient data.
        object_key: the landed object that it reads, where there is one.
    """

    run_id: str
    workflow_id: str
    workflow: str
    source: str
    subject: str
    started_at: datetime
    object_key: str | None = None


class RunFinished(Contract):
    """How a run ended; what the ledger holds of its loads is looked up there."""

    run_id: str
    state: RunState
    result: LoadOutcome | None = None
    load_ids: tuple[str, ...] = ()
    error: RunError | None = None


class Run(Contract):
    """A row of `ingest.run`."""

    id: str
    workflow_id: str
    workflow: str
    source: str
    subject: str
    state: RunState
    result: LoadOutcome | None
    phase: str
    object_key: str | None
    counts: dict[str, JsonValue]
    report: dict[str, JsonValue]
    warnings: list[str]
    error: RunError | None
    load_ids: list[str]
    started_at: datetime
    finished_at: datetime | None
