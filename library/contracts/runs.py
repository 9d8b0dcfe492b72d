"""A run as a user sees it."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.loads import DatasetCounts, LoadOutcome

NOTE = "note"
"""In a run's report: a sentence for people, true when the run ended."""

FIGURES_OF = "figures_of"
"""In the report of a run that found nothing new: the earlier run whose figures it shows."""


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
        one_load: whether one load is all of it, so that the run is done once that was committed.
    """

    run_id: str
    workflow_id: str
    workflow: str
    source: str
    subject: str
    started_at: datetime
    object_key: str | None = None
    one_load: bool = True


class RunFinished(Contract):
    """How a run ended; what the ledger holds of its loads is looked up there.

    Attributes:
        load_ids: of a run with one load; those of many are found in the ledger, by the run's id.
    """

    run_id: str
    state: RunState
    result: LoadOutcome | None = None
    load_ids: tuple[str, ...] = ()
    error: RunError | None = None


class RunTotals(Contract):
    """What a run of many loads has brought: the sums over its rows of the ledger.

    Attributes:
        outcome: `already_loaded` where the ledger had all of it before; the counts are then those of the newest earlier
            run of the same work that loaded something.
        report: what the run says of itself as a whole; no patient data.
    """

    outcome: LoadOutcome
    counts: dict[str, DatasetCounts] = Field(default_factory=dict)
    report: dict[str, JsonValue] = Field(default_factory=dict)


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
    one_load: bool = True
