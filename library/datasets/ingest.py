"""Schema `ingest`: what was loaded, what was refused, and what is running. The loader and the runs write it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

SCHEMA = "ingest"


class Load(SQLModel, table=True):
    """The ledger: one row for each committed load. What is not here was not loaded, whatever anything else says.

    Attributes:
        id: derived from `identity`, so that a repeat of the same load has the same id.
        identity: source, sha256, reader version, and the counter of a `--reload`: what makes a load the same load.
        counts: by dataset: staged, rejected, repeated, inserted, updated, unchanged, deleted, warned by expectation.
        report: what the reader said of the object as a whole.
    """

    __tablename__ = "load"
    __table_args__ = (
        Index("load_object", "object_sha256"),
        Index("load_committed", "committed_at"),
        Index("load_run", "run_id"),
        {"schema": SCHEMA},
    )

    id: UUID = Field(primary_key=True)
    identity: str = Field(sa_type=Text, unique=True)
    source: str = Field(sa_type=Text)
    scope: str = Field(sa_type=Text)
    object_key: str = Field(sa_type=Text)
    object_sha256: str = Field(sa_type=Text)
    object_size: int = Field(sa_type=BigInteger)
    reader_version: int = Field(sa_type=SmallInteger)
    reload: int = Field(sa_type=SmallInteger)
    run_id: str = Field(sa_type=Text)
    counts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    report: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    started_at: datetime = Field(sa_type=DateTime(timezone=True))
    committed_at: datetime = Field(sa_type=DateTime(timezone=True))


class Rejection(SQLModel, table=True):
    """A row that was refused, with everything that spoke against it and its raw form.

    Attributes:
        line: of the object, counted from 1.
        reasons: names of expectations, or `column: what is wrong with it`, never the value.
        raw: the row as it came, up to 64 KB; longer ones are found in the object, at the line.
    """

    __tablename__ = "rejection"
    __table_args__ = (
        Index("rejection_object", "object_key"),
        Index("rejection_load", "load_id"),
        {"schema": SCHEMA},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    load_id: UUID
    source: str = Field(sa_type=Text)
    dataset: str = Field(sa_type=Text)
    object_key: str = Field(sa_type=Text)
    line: int = Field(sa_type=BigInteger)
    reasons: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    raw: bytes | None = Field(default=None, sa_type=LargeBinary)
    rejected_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class Run(SQLModel, table=True):
    """A run as a user sees it: one workflow execution, or the chain of them that continue-as-new makes.

    Attributes:
        id: the first run id of the chain.
        subject: what it is about, for people: a file's name.
        result: of a completed run: `loaded`, or `already_loaded` where the ledger had it before.
        phase: what it does now, or did last.
        error: type, message, advice.
        one_load: whether one load is all of it; else its counts are the sums over its loads.
    """

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'completed', 'failed', 'cancelled')", name="run_state"),
        CheckConstraint("result IN ('loaded', 'already_loaded')", name="run_result"),
        Index("run_started", "started_at", "id"),
        Index("run_workflow", "workflow_id"),
        {"schema": SCHEMA},
    )

    id: str = Field(sa_type=Text, primary_key=True)
    workflow_id: str = Field(sa_type=Text)
    workflow: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    result: str | None = Field(default=None, sa_type=Text)
    phase: str = Field(sa_type=Text)
    object_key: str | None = Field(default=None, sa_type=Text)
    counts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    report: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    warnings: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False, server_default="{}"))
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    load_ids: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False, server_default="{}"))
    started_at: datetime = Field(sa_type=DateTime(timezone=True))
    finished_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    one_load: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="true"))
