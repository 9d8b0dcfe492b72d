"""Runs as users see them."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.loads import DatasetCounts, LoadOutcome

NOTE = "note"
"""Key in a run's report: a sentence for people, true when the run ended."""

FIGURES_OF = "figures_of"
"""Key in the report of a run that found nothing new: the id of the earlier run whose counts it shows."""


class RunState(StrEnum):
    """The state of a run."""

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
    """A run that begins.

    Attributes:
        run_id: the first run id of the execution chain.
        subject: what the run loads, for people; never patient data.
        object_key: the landed object that the run reads, if there is one.
        one_load: whether the run is one load, so that it is done when that load is committed.
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
    """How a run ended. The counts of its loads are looked up in the ledger.

    Attributes:
        load_ids: the load of a run with `one_load`. Other loads are found in the ledger by the run's id.
    """

    run_id: str
    state: RunState
    result: LoadOutcome | None = None
    load_ids: tuple[str, ...] = ()
    error: RunError | None = None


class RunTotals(Contract):
    """The totals of a run with many loads: the sums over its rows in the ledger.

    Attributes:
        outcome: `already_loaded` if the ledger had every load before. The counts are then those of the newest earlier
            run of the same work that loaded something. `incomplete` if the source did not deliver all of its data.
        report: what the run states as a whole; no patient data.
    """

    outcome: LoadOutcome
    counts: dict[str, DatasetCounts] = Field(default_factory=dict)
    report: dict[str, JsonValue] = Field(default_factory=dict)


ABANDONED = "Abandoned"
"""The error type of a run that the upkeep closed, since its workflow had ended without closing it."""


class Run(Contract):
    """One row of `ingest.run`."""

    id: str = Field(
        description="The first run id of the chain of executions.", examples=["019ac2f0-5d7e-7c3b-9f11-2b8f0c6a4d10"]
    )
    workflow_id: str = Field(description="The id of the workflow in Temporal.", examples=["workbook-8a3fba491baf"])
    workflow: str = Field(description="The type of the workflow.")
    source: str = Field(description="The name of the source.", examples=["beds"])
    subject: str = Field(
        description="The run's subject for people: a file's name.", examples=["Beds-Open-Overnight.xlsx"]
    )
    state: RunState = Field(description="Whether it still runs, or how it ended.")
    result: LoadOutcome | None = Field(
        description="`loaded`; `already_loaded` if the ledger had it before; `incomplete` if the source did not "
        "deliver all of its data, as the warnings say; null before the end."
    )
    phase: str = Field(description="The present or the last phase.", examples=["done"])
    object_key: str | None = Field(
        description="The landed object, if the run is of one.", examples=["landed/beds/8a3f…"]
    )
    counts: dict[str, JsonValue] = Field(
        description="For each dataset, how many rows were inserted, updated, rejected and so on."
    )
    report: dict[str, JsonValue] = Field(description="Facts about the run as a whole.")
    warnings: list[str] = Field(description="What people should know about the run.")
    error: RunError | None = Field(description="Why it failed: type, message and advice.")
    load_ids: list[str] = Field(description="Its loads in the ledger.")
    executions: list[str] = Field(
        default_factory=list,
        description="Its executions in Temporal, by run id: the first, those that continued it, and those that "
        "repeated it.",
    )
    started_at: datetime = Field(description="When it began.", examples=["2026-11-21T10:15:30+00:00"])
    finished_at: datetime | None = Field(description="When it ended.", examples=["2026-11-21T10:15:34+00:00"])
    one_load: bool = Field(
        default=True, description="Whether one load is all of it; else its counts are sums over its loads."
    )
