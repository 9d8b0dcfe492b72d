"""Where a stored row is from: its load, its run, and the landed object or the record that it was read from."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from library.contracts.base import Contract
from library.contracts.errors import WardflowError


class DatasetUnknown(WardflowError):
    """No source has a dataset of this name. The advice names the datasets."""

    field = "dataset"


class NotAKey(WardflowError):
    """The values are not a key of the dataset: too few, too many, or of another type. No value is repeated."""

    field = "key"


class NoSuchRow(WardflowError):
    """The dataset has no row with this key."""

    default_advice = "Check the dataset and the values of the key, in the order of the key's columns."


class RecordNotInLake(WardflowError):
    """The lake does not have the record of a row, or it is not known which record it is."""

    default_advice = "New records are in the lake within about a minute. `GET /streams` shows how far the archives are."


class OriginLoad(Contract):
    """The load that wrote the row last."""

    id: UUID = Field(examples=["65009f02-689c-5c5e-8604-6ba18afdb58c"])
    source: str
    reader_version: int = Field(description="The version of the reader that made the row.", examples=[1])
    committed_at: datetime | None = Field(
        description="For records of a topic: the last commit of the load. Null: the ledger no longer has the load, "
        "since loads of topics are removed from it after a time.",
        examples=["2026-11-21T10:15:30Z"],
    )


class OriginRun(Contract):
    """The run that committed the load."""

    id: str = Field(examples=["019f8f3a-63c4-7b51-9d2e-0c5a3e6f7a11"])
    subject: str | None = Field(
        description="What the run loads, for people: a file's name. Null for the drain of a topic.",
        examples=["Beds-Open-Overnight-Web_File-Q3-2025-26.xlsx"],
    )


class OriginObject(Contract):
    """The landed object that the row was read from."""

    key: str = Field(description="Its name in the object store.")
    content_size: int = Field(
        description="Bytes that were landed. If the store keeps them compressed, its object is smaller.",
        examples=[96422],
    )
    content_sha256: str = Field(
        description="SHA-256 of the bytes that were landed, as `GET /origin/bytes` answers them. It is not that of a "
        "compressed object in the store.",
        examples=["8a3fba491baf4e88bb64cf89f2590026c2274df6903c83e9a48e893c881baeac"],
    )
    stored_compression: Literal["gzip"] | None = Field(
        description="How the store keeps the bytes; null: as they were landed.", examples=[None]
    )


class OriginInLake(Contract):
    """Where a record is in the lake."""

    table: str = Field(description="The location of the Delta table.", examples=["s3://wardflow/lake/bronze/patient"])
    incarnation: int | None = Field(
        description="Counts how often the topic was made, from 1; a part of the record's key in the table. "
        "Null: the lake does not have the record yet, or it is not known which topic of this name had it.",
        examples=[1],
    )
    archived: bool = Field(description="Whether the lake has the record. New ones follow within about a minute.")


class OriginRecord(Contract):
    """The record of a Kafka topic that the row was read from."""

    topic: str = Field(examples=["patient"])
    partition: int = Field(examples=[2])
    offset: int = Field(examples=[4711])
    lake: OriginInLake


class Origin(Contract):
    """Where a row is from. It has either `object` or `record`."""

    dataset: str
    key: dict[str, Any] = Field(description="The values of the key, by column.")
    load: OriginLoad
    run: OriginRun | None = Field(description="Null: the ledger no longer has the load.")
    object: OriginObject | None = Field(description="Null for rows of topics.")
    record: OriginRecord | None = Field(description="Null for rows of files and pages.")
