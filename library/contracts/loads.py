"""What is asked of the loader, and what it answers."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.objects import ObjectRef

LOADS = UUID("6f7c2f6e-8f43-4b5e-9a68-1f3c0c6f2a11")
"""Namespace of load ids; changing it would make every load a new one."""


class LoadIdentity(Contract):
    """What makes a load the same load: repeat it, and nothing happens.

    Attributes:
        source: `beds`.
        scope: what else tells two loads of the same bytes apart: a server, a day.
        sha256: of the landed object.
        reader_version: of the reader: what was read wrongly is loaded again after the fix.
        reload: raised by one with each `--reload`.
        as_of: of bytes that came again, as of a later time, and count anew (ISO 8601): see `warehouse.fhir_loads`.
    """

    source: str
    sha256: str
    reader_version: int
    scope: str = ""
    reload: int = 0
    as_of: str = ""

    @property
    def text(self) -> str:
        """The identity as it stands in the ledger."""
        again = (f"as of {self.as_of}",) if self.as_of else ()
        return "|".join(
            (self.source, self.scope, self.sha256, f"reader {self.reader_version}", f"reload {self.reload}", *again)
        )

    @property
    def load_id(self) -> UUID:
        """The ledger's key."""
        return uuid5(LOADS, self.text)


class StagedObject(Contract):
    """Rows of one dataset as CSV, in the store or at hand: `_line`, for a child `_parent`, then its columns."""

    dataset: str
    object: ObjectRef
    rows: int


class LoadRequest(Contract):
    """One load: staged objects that come from one landed object and are committed together.

    Attributes:
        landed: the object that the rows were read from.
        staged: one for each dataset; for a parent's dataset, its children's too, even if empty.
        rejections: rows that the reader refused, as CSV: dataset, line, reasons, raw.
        run_id: the run that asks for it.
        report: what the reader says of the object as a whole; kept in the ledger and returned with each repeat.
    """

    identity: LoadIdentity
    landed: ObjectRef
    staged: tuple[StagedObject, ...]
    rejections: ObjectRef | None = None
    run_id: str
    report: dict[str, JsonValue] = Field(default_factory=dict)


class DatasetCounts(Contract):
    """What became of the staged rows of a dataset: staged = rejected + repeated + inserted + updated + unchanged.

    Attributes:
        staged: rows that the reader gave, those that it refused among them.
        rejected: refused, by the reader or by the loader; see `ingest.rejection`.
        repeated: the same key came again in the same load, newer or later.
        unchanged: changed nothing: what is stored is equal, or newer.
        deleted: stored children that their parent no longer has; not among the staged.
        warned: rows that did not meet an expectation whose action is `warn`, by its name.
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
        """What became of both loads' rows."""
        warned = {name: self.warned.get(name, 0) + other.warned.get(name, 0) for name in {*self.warned, *other.warned}}
        numbers = {
            name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields if name != "warned"
        }
        return DatasetCounts(**numbers, warned=warned)


class LoadOutcome(StrEnum):
    """How a load ended."""

    LOADED = "loaded"
    ALREADY_LOADED = "already_loaded"


class LoadResult(Contract):
    """What the ledger holds of a load, and whether this call or an earlier one brought it there."""

    load_id: UUID
    outcome: LoadOutcome
    run_id: str
    counts: dict[str, DatasetCounts]
    report: dict[str, JsonValue] = Field(default_factory=dict)
    committed_at: datetime


type Staged = LoadRequest | LoadResult
"""What staging a landed object gives: a load to run, or the load that the ledger already holds."""
