"""Schema `ingest`: loads, rejections, runs and offsets. The loader and the runs write it."""

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
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import SQLModel

from library.contracts.runs import Run
from library.datasets.fields import field

SCHEMA = "ingest"


class Load(SQLModel, table=True):
    """The ledger: one row for each committed load. A load without a row was not loaded."""

    __tablename__ = "load"
    __table_args__ = (
        Index("load_object", "object_sha256"),
        Index("load_committed", "committed_at"),
        Index("load_run", "run_id"),
        {"schema": SCHEMA},
    )

    id: UUID = field("Derived from `identity`, so a retry of the same load has the same id.", primary_key=True)
    identity: str = field(
        "What makes a load the same: source, sha256, reader version and the counter of reloads; for a drain: "
        "topic, partition, generation, and the offset at which its activity began.",
        sa_type=Text,
        unique=True,
    )
    source: str = field("The name of the source.", sa_type=Text)
    scope: str = field("A server, or a topic's partition; it also distinguishes loads of a source.", sa_type=Text)
    object_key: str | None = field("The landed object; null for a drain.", default=None, sa_type=Text)
    object_sha256: str | None = field("The landed object; null for a drain.", default=None, sa_type=Text)
    object_size: int | None = field("The landed object; null for a drain.", default=None, sa_type=BigInteger)
    reader_version: int = field("The version of the reader that made the rows.", sa_type=SmallInteger)
    reader_settings: str = field(
        "A digest of the settings that changed what the reader returned; empty: they had their defaults.",
        sa_column=Column(Text, nullable=False, server_default=""),
    )
    reload: int = field("Counts the reloads of the same object, from 0.", sa_type=SmallInteger)
    run_id: str = field("The run that made the load.", sa_type=Text)
    counts: dict[str, Any] = field(
        "For each dataset: staged, rejected, repeated, inserted, updated, unchanged, deleted, and warned.",
        sa_column=Column(JSONB, nullable=False),
    )
    report: dict[str, Any] = field(
        "Facts that the reader states about the whole object.", sa_column=Column(JSONB, nullable=False)
    )
    started_at: datetime = field("When it began.", sa_type=DateTime(timezone=True))
    committed_at: datetime = field("When its rows became visible.", sa_type=DateTime(timezone=True))


class Rejection(SQLModel, table=True):
    """A row that was refused, with all reasons and the row as it came."""

    __tablename__ = "rejection"
    __table_args__ = (
        Index("rejection_object", "object_key"),
        Index("rejection_load", "load_id"),
        Index("rejection_record", "topic", "partition", "offset", postgresql_where=text("topic IS NOT NULL")),
        CheckConstraint("num_nonnulls(object_key, topic) = 1", name="rejection_origin"),
        {"schema": SCHEMA},
    )

    id: int = field(
        "Counts rejections.", 17, default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    load_id: UUID = field("The load that refused the row.", "65009f02-689c-5c5e-8604-6ba18afdb58c")
    source: str = field("The name of the source.", "beds", sa_type=Text)
    dataset: str = field("The dataset that the row was for.", sa_type=Text)
    object_key: str | None = field("The landed object that holds the row.", default=None, sa_type=Text)
    line: int | None = field("The line in the object, from 1.", 12, default=None, sa_type=BigInteger)
    topic: str | None = field("The topic, if the row is a record of a stream.", None, default=None, sa_type=Text)
    incarnation: int | None = field("Counts how often the topic was made, from 1.", None, default=None, sa_type=Integer)
    partition: int | None = field("The record's partition.", None, default=None, sa_type=Integer)
    offset: int | None = field("The record's offset.", None, default=None, sa_type=BigInteger)
    reasons: list[str] = field(
        "Names of expectations, or a column and what is wrong with it; never the value.",
        ["birthDate: not a date"],
        sa_column=Column(ARRAY(Text), nullable=False),
    )
    raw: bytes | None = field("The row as it came, up to 64 KB.", default=None, sa_type=LargeBinary)
    rejected_at: datetime = field(
        "When the row was refused.",
        "2026-11-21T10:15:30+00:00",
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")),
    )


def _as_told(name: str, **options: Any) -> Any:  # noqa: ANN401 - as `field` itself
    """A field with the description and the example of the contract."""
    info = Run.model_fields[name]
    return field(info.description or "", (info.examples or [...])[0], **options)


class StoredRun(SQLModel, table=True):
    """A run: one workflow execution, or the chain of executions that continue-as-new and resets make."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'completed', 'failed', 'cancelled')", name="run_state"),
        CheckConstraint("result IN ('loaded', 'already_loaded', 'incomplete')", name="run_result"),
        Index("run_started", "started_at", "id"),
        Index("run_workflow", "workflow_id"),
        {"schema": SCHEMA},
    )

    id: str = _as_told("id", sa_type=Text, primary_key=True)
    workflow_id: str = _as_told("workflow_id", sa_type=Text)
    workflow: str = _as_told("workflow", sa_type=Text)
    source: str = _as_told("source", sa_type=Text)
    subject: str = _as_told("subject", sa_type=Text)
    state: str = _as_told("state", sa_type=Text)
    result: str | None = _as_told(
        "result",
        default=None,
        sa_type=Text,
    )
    phase: str = _as_told("phase", sa_type=Text)
    object_key: str | None = _as_told("object_key", default=None, sa_type=Text)
    counts: dict[str, Any] = _as_told("counts", sa_column=Column(JSONB, nullable=False, server_default="{}"))
    report: dict[str, Any] = _as_told("report", sa_column=Column(JSONB, nullable=False, server_default="{}"))
    warnings: list[str] = _as_told("warnings", sa_column=Column(ARRAY(Text), nullable=False, server_default="{}"))
    error: dict[str, Any] | None = _as_told("error", default=None, sa_column=Column(JSONB(none_as_null=True)))
    load_ids: list[UUID] = _as_told("load_ids", sa_column=Column(ARRAY(Uuid), nullable=False, server_default="{}"))
    executions: list[str] = _as_told("executions", sa_column=Column(ARRAY(Text), nullable=False, server_default="{}"))
    started_at: datetime = _as_told("started_at", sa_type=DateTime(timezone=True))
    finished_at: datetime | None = _as_told("finished_at", default=None, sa_type=DateTime(timezone=True))
    one_load: bool = _as_told(
        "one_load",
        sa_column=Column(Boolean, nullable=False, server_default="true"),
    )


class StreamOffset(SQLModel, table=True):
    """The offset to which a partition is drained. The transaction that loads records moves it."""

    __tablename__ = "stream_offset"
    __table_args__ = (
        CheckConstraint("state IN ('draining', 'stopped')", name="stream_offset_state"),
        {"schema": SCHEMA},
    )

    topic: str = field("The topic's name.", sa_type=Text, primary_key=True)
    partition: int = field("The partition's number.", sa_type=Integer, primary_key=True)
    topic_id: str = field(
        "Kafka's id of the topic. It changes when the topic is deleted and created again.", sa_type=Text
    )
    incarnation: int = field("Counts how often the topic was created, from 1.", sa_type=Integer)
    generation: int = field(
        "Counts rewinds, from 1. Rows and loads have it too. So a replay is not taken for done, and a drain that "
        "does not know about the rewind yet cannot disturb it.",
        sa_type=Integer,
    )
    next_offset: int = field("The offset of the first record that is not loaded yet.", sa_type=BigInteger)
    paused: bool = field(
        "Drains do not load the partition until it is resumed.",
        sa_column=Column(Boolean, nullable=False, server_default="false"),
    )
    state: str = field(
        "`stopped` means that the drain cannot continue until it is rewound.",
        sa_column=Column(Text, nullable=False, server_default="draining"),
    )
    reason: str | None = field("Why it stopped, or the present error of its drain.", default=None, sa_type=Text)
    reached_at: datetime | None = field(
        "The broker's timestamp of the last record that was loaded.", default=None, sa_type=DateTime(timezone=True)
    )
    end_offset: int | None = field(
        "The partition's end offset at the last check (`looked_at`).", default=None, sa_type=BigInteger
    )
    looked_at: datetime | None = field("When `end_offset` was read.", default=None, sa_type=DateTime(timezone=True))
    updated_at: datetime = field(
        "When the offset was last moved.",
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")),
    )


class ArchivePosition(SQLModel, table=True):
    """The last reported offset of a partition in the lake. The lake's own table decides."""

    __tablename__ = "archive_position"
    __table_args__ = ({"schema": SCHEMA},)

    topic: str = field("The topic's name.", sa_type=Text, primary_key=True)
    partition: int = field("The partition's number.", sa_type=Integer, primary_key=True)
    incarnation: int = field("Counts how often the topic was created, as the table counts it.", sa_type=Integer)
    next_offset: int = field("The offset of the first record that is not in the table yet.", sa_type=BigInteger)
    reason: str | None = field("Why it does not continue; `None` if it does.", default=None, sa_type=Text)
    updated_at: datetime = field(
        "When the archive said so.",
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")),
    )
