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
from sqlmodel import Field, SQLModel

SCHEMA = "ingest"


class Load(SQLModel, table=True):
    """The ledger: one row for each committed load. A load without a row was not loaded.

    Attributes:
        id: derived from `identity`, so a retry of the same load has the same id.
        identity: source, sha256, reader version, and the counter of `--reload`. For a drain: topic, partition,
            generation, and the offset at which its activity began.
        scope: a server, or a topic's partition; it also distinguishes loads of a source.
        object_key, object_sha256, object_size: the landed object; null for a drain.
        counts: for each dataset: staged, rejected, repeated, inserted, updated, unchanged, deleted, and warned by
            expectation.
        report: facts that the reader states about the whole object.
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
    object_key: str | None = Field(default=None, sa_type=Text)
    object_sha256: str | None = Field(default=None, sa_type=Text)
    object_size: int | None = Field(default=None, sa_type=BigInteger)
    reader_version: int = Field(sa_type=SmallInteger)
    reload: int = Field(sa_type=SmallInteger)
    run_id: str = Field(sa_type=Text)
    counts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    report: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    started_at: datetime = Field(sa_type=DateTime(timezone=True))
    committed_at: datetime = Field(sa_type=DateTime(timezone=True))


class Rejection(SQLModel, table=True):
    """A refused row, with all reasons and its raw form.

    Attributes:
        object_key, line: the landed object and the line in it, counted from 1.
        topic, incarnation, partition, offset: the place of the record, if the row comes from a stream.
        reasons: names of expectations, or `column: what is wrong with it`, never the value.
        raw: the original form of the row, up to 64 KB. Longer rows can be found in the object or in the lake.
    """

    __tablename__ = "rejection"
    __table_args__ = (
        Index("rejection_object", "object_key"),
        Index("rejection_load", "load_id"),
        Index("rejection_record", "topic", "partition", "offset", postgresql_where=text("topic IS NOT NULL")),
        CheckConstraint("num_nonnulls(object_key, topic) = 1", name="rejection_origin"),
        {"schema": SCHEMA},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    load_id: UUID
    source: str = Field(sa_type=Text)
    dataset: str = Field(sa_type=Text)
    object_key: str | None = Field(default=None, sa_type=Text)
    line: int | None = Field(default=None, sa_type=BigInteger)
    topic: str | None = Field(default=None, sa_type=Text)
    incarnation: int | None = Field(default=None, sa_type=Integer)
    partition: int | None = Field(default=None, sa_type=Integer)
    offset: int | None = Field(default=None, sa_type=BigInteger)
    reasons: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    raw: bytes | None = Field(default=None, sa_type=LargeBinary)
    rejected_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class StoredRun(SQLModel, table=True):
    """A run: one workflow execution, or the chain of executions that continue-as-new makes.

    Attributes:
        id: the first run id of the chain.
        subject: the run's subject for people: a file's name.
        result: the result of a completed run: `loaded`, or `already_loaded` if the ledger had it before.
        phase: the present or the last phase.
        error: type, message, advice.
        one_load: whether the run is one load. If not, its counts are the sums over its loads.
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


class StreamOffset(SQLModel, table=True):
    """The offset to which a partition is drained. The transaction that loads records moves it.

    Attributes:
        topic_id: Kafka's id of the topic. It changes when the topic is deleted and created again.
        incarnation: counts how often the topic was created, from 1.
        generation: counts rewinds, from 1. Rows and loads have it too. So a replay is not taken for done, and a drain
            that does not know about the rewind yet cannot disturb it.
        next_offset: the offset of the first record that is not loaded yet.
        paused: drains do not load the partition until it is resumed.
        state: `stopped` means that the drain cannot continue until it is rewound.
        reason: why it stopped, or the present error of its drain.
        reached_at: the broker's timestamp of the last record that was loaded.
        end_offset: the partition's end offset at the last check (`looked_at`).
        updated_at: when the offset was last moved.
    """

    __tablename__ = "stream_offset"
    __table_args__ = (
        CheckConstraint("state IN ('draining', 'stopped')", name="stream_offset_state"),
        {"schema": SCHEMA},
    )

    topic: str = Field(sa_type=Text, primary_key=True)
    partition: int = Field(sa_type=Integer, primary_key=True)
    topic_id: str = Field(sa_type=Text)
    incarnation: int = Field(sa_type=Integer)
    generation: int = Field(sa_type=Integer)
    next_offset: int = Field(sa_type=BigInteger)
    paused: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    state: str = Field(sa_column=Column(Text, nullable=False, server_default="draining"))
    reason: str | None = Field(default=None, sa_type=Text)
    reached_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    end_offset: int | None = Field(default=None, sa_type=BigInteger)
    looked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class ArchivePosition(SQLModel, table=True):
    """The last reported offset of a partition in the lake. The lake's own table decides.

    Attributes:
        incarnation: counts how often the topic was created, as the table counts it.
        next_offset: the offset of the first record that is not in the table yet.
        reason: why it does not continue; `None` if it does.
    """

    __tablename__ = "archive_position"
    __table_args__ = ({"schema": SCHEMA},)

    topic: str = Field(sa_type=Text, primary_key=True)
    partition: int = Field(sa_type=Integer, primary_key=True)
    incarnation: int = Field(sa_type=Integer)
    next_offset: int = Field(sa_type=BigInteger)
    reason: str | None = Field(default=None, sa_type=Text)
    updated_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
