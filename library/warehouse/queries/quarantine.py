"""Questions about refused rows."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import BindParameter, ColumnElement, and_, exists, func, literal_column, null, select, type_coerce
from sqlalchemy import Text as SqlText
from sqlalchemy import cast as sql_cast
from sqlmodel import col

from config.servers import TOPIC
from library.contracts.scopes import Scope
from library.datasets.ingest import Load, Rejection, StoredRun
from library.warehouse.queries.columns import Column, columns
from library.warehouse.queries.filters import VALUE, Filter, Flag, equal
from library.warehouse.queries.parameters import BIGINT, INTEGER, Text
from library.warehouse.queries.question import Question

TopicName = Annotated[str, Field(pattern=TOPIC)]

RAW = "raw"
"""The original form of the row, in hexadecimal digits; only with the flag of this name."""


def _of_run(run: BindParameter[Any]) -> ColumnElement[bool]:
    """The rows of the loads that the run made, or that it found loaded already."""
    run_id = type_coerce(run, SqlText)
    own = select(col(Load.id)).where(col(Load.run_id) == run_id)
    found = select(func.unnest(StoredRun.load_ids)).where(col(StoredRun.id) == run_id)
    return col(Rejection.load_id).in_(own.union(found))


def _begins_with(reason: BindParameter[Any]) -> ColumnElement[bool]:
    one = func.unnest(Rejection.reasons).column_valued("one")
    begins = func.starts_with(one, type_coerce(reason, SqlText))
    return exists(select(literal_column("1")).where(begins).correlate(Rejection))


def _of_a_record(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The index of records has only rows with a topic, so the condition must ask for these."""
    return and_(col(Rejection.topic).is_not(None), condition)


REJECTIONS = Question(
    name="quarantine",
    about="Rows that were refused, the newest first.",
    scope=Scope.OPERATE,
    rows=lambda filters: select(Rejection).where(*filters.conditions()),
    columns=(
        *columns(Rejection, "id", "source", "dataset", "object_key", "line", "topic", "incarnation", "partition"),
        *columns(Rejection, "offset", "reasons", "rejected_at", "load_id"),
        Column("run_id", str | None, "The run of that load.").computed_by(lambda _: col(Load.run_id)),
        Column(
            RAW,
            str | None,
            "As it came; only with `raw=true`. Null if it is too long: see the object's line.",
            only_with=RAW,
            expression=lambda rows: func.encode(rows.c.raw, literal_column("'hex'"), type_=SqlText),
        ),
        Column(
            "raw_encoding",
            Literal["utf-8", "base64"] | None,
            "Of `raw`, if it is asked for.",
            only_with=RAW,
            expression=lambda _: sql_cast(null(), SqlText),
        ),
    ),
    item="RejectionItem",
    each="A row that was refused.",
    order=("id",),
    descending=True,
    parameters=(
        equal("id", int, VALUE, col(Rejection.id), "Its id."),
        equal("source", Text, VALUE, col(Rejection.source), "Only of this source."),
        Filter(
            "run", Text, VALUE, "Only of loads of this run.", "019ac2f0-5d7e-7c3b-9f11-2b8f0c6a4d10", condition=_of_run
        ),
        Filter("reason", Text, VALUE, "What a reason begins with.", "birthDate", condition=_begins_with),
        replace(
            equal("topic", TopicName, VALUE, col(Rejection.topic), "Only records of this topic."), example="patient"
        ),
        Filter(
            "partition",
            Annotated[int, Field(ge=0, le=INTEGER)],
            VALUE,
            "Only records of this partition.",
            2,
            condition=lambda value: _of_a_record(col(Rejection.partition) == value),
        ),
        Filter(
            "offset",
            Annotated[int, Field(ge=0, le=BIGINT)],
            VALUE,
            "Only the record at this offset.",
            4711,
            condition=lambda value: _of_a_record(col(Rejection.offset) == value),
        ),
        Flag(
            RAW, bool, VALUE, "With the raw forms: needs `read:patients`, and is audited. At most 100 a page, no CSV."
        ),
    ),
    joins=lambda rows: rows.outerjoin(Load, col(Load.id) == rows.c.load_id),
)


def readable(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item with its raw form as text, or in base64 if it is not text; `raw_encoding` says which."""
    if item[RAW] is None:
        return {**item, "raw_encoding": None}
    raw = bytes.fromhex(item[RAW])
    try:
        return {**item, RAW: raw.decode(), "raw_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {**item, RAW: base64.b64encode(raw).decode(), "raw_encoding": "base64"}
