"""Requests to the loader, and its results."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.objects import ObjectRef

LOADS = UUID("6f7c2f6e-8f43-4b5e-9a68-1f3c0c6f2a11")
"""Namespace of load ids. With another one, every file would be loaded again."""


class LoadIdentity(Contract):
    """The identity of a load. A second load with the same identity changes nothing.

    Attributes:
        source: the source's name, such as `beds`.
        scope: tells loads of the same bytes apart where needed: a server, a day.
        sha256: of the landed object.
        reader_version: of the reader; a corrected reader has a higher one, so the file is loaded again.
        reader_settings: a digest of the settings that change what the reader returns; empty: they have their defaults.
        reload: raised by one with each `--reload`.
        as_of: set when the same bytes came again later and must count again (ISO 8601).
    """

    source: str
    sha256: str
    reader_version: int
    scope: str = ""
    reader_settings: str = ""
    reload: int = 0
    as_of: str = ""

    @property
    def text(self) -> str:
        """The identity as it is written in the ledger."""
        more = [f"settings {self.reader_settings}"] if self.reader_settings else []
        more += [f"as of {self.as_of}"] if self.as_of else []
        return "|".join(
            (self.source, self.scope, self.sha256, f"reader {self.reader_version}", f"reload {self.reload}", *more)
        )

    @property
    def load_id(self) -> UUID:
        """The ledger's key."""
        return uuid5(LOADS, self.text)


class StagedObject(Contract):
    """Rows of one dataset as a CSV file: `_line`, `_parent` (for a child dataset), then the dataset's columns."""

    dataset: str
    object: ObjectRef
    rows: int


class LoadRequest(Contract):
    """One load: the staged objects of one landed object, committed in one transaction.

    Attributes:
        landed: the object that the rows were read from.
        staged: one for each dataset. A parent's dataset comes with those of its children, even empty ones.
        rejections: rows that the reader refused, as CSV: dataset, line, reasons, raw.
        run_id: the run that this load belongs to.
        report: what the reader states about the whole object; stored in the ledger and returned by each retry.
    """

    identity: LoadIdentity
    landed: ObjectRef
    staged: tuple[StagedObject, ...]
    rejections: ObjectRef | None = None
    run_id: str
    report: dict[str, JsonValue] = Field(default_factory=dict)


class DatasetCounts(Contract):
    """Counts of a dataset's rows: staged = rejected + repeated + inserted + updated + unchanged.

    Attributes:
        staged: rows that the reader found, including those that it refused.
        rejected: rows that the reader or the loader refused; see `ingest.rejection`.
        repeated: rows whose key came again in the same load; the newer or later row was used.
        unchanged: rows that changed nothing, since the stored row is equal or newer.
        deleted: stored children that their parent no longer has. They do not count as staged.
        warned: rows that broke an expectation whose action is `warn`, by the expectation's name.
    """

    staged: int = 0
    rejected: int = 0
    repeated: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    warned: dict[str, int] = Field(default_factory=dict)

    def __add__(self, other: "DatasetCounts") -> "DatasetCounts":
        """The sums of both loads' counts."""
        warned = {name: self.warned.get(name, 0) + other.warned.get(name, 0) for name in {*self.warned, *other.warned}}
        numbers = {
            name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields if name != "warned"
        }
        return DatasetCounts(**numbers, warned=warned)


class LoadOutcome(StrEnum):
    """How a load or a run ended. Only a run can be `incomplete`: it loaded a part of what its source has."""

    LOADED = "loaded"
    ALREADY_LOADED = "already_loaded"
    INCOMPLETE = "incomplete"


class LoadResult(Contract):
    """A load as the ledger has it, and whether this call or an earlier one committed it."""

    load_id: UUID
    outcome: LoadOutcome
    run_id: str
    counts: dict[str, DatasetCounts]
    report: dict[str, JsonValue] = Field(default_factory=dict)
    committed_at: datetime


type Staged = LoadRequest | LoadResult
"""The result of staging: a load to run, or the result of the load if the ledger already has it."""
