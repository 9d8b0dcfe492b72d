"""Queries for refused rows."""

import base64
from collections.abc import Mapping
from typing import Any

from library.warehouse.queries.conditions import Conditions
from library.warehouse.queries.pages import Query

COLUMNS = (
    "id",
    "source",
    "dataset",
    "object_key",
    "line",
    "topic",
    "incarnation",
    "partition",
    "offset",
    "reasons",
    "rejected_at",
    "load_id",
    "run_id",
)
RAW = "raw"
"""The original form of the row, in hexadecimal digits; only in queries with `raw`."""


def rejections(
    *,
    source: str | None = None,
    run_id: str | None = None,
    reason: str | None = None,
    topic: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
    raw: bool = False,
) -> Query:
    """Rejections, newest first.

    Args:
        source: the source of the rows.
        run_id: the run that loaded the same objects, or found them already loaded.
        reason: the beginning of one of their reasons: the name of an expectation or of a column.
        topic: the topic of the records.
        partition: the partition of the records.
        offset: the offset of the record.
        raw: whether to include their raw forms.
    """
    conditions = Conditions()
    conditions.add("source = {}", source)
    conditions.add(
        "load_id IN (SELECT id FROM ingest.load WHERE run_id = {} "
        "UNION SELECT unnest(load_ids) FROM ingest.run WHERE id = {})",
        run_id,
    )
    conditions.add("EXISTS (SELECT FROM unnest(reasons) one WHERE starts_with(one, {}))", reason)
    conditions.add("topic = {}", topic)
    # The index of records has only rows with a topic. A query uses it only with this condition.
    conditions.add("topic IS NOT NULL AND partition = {}", partition)
    conditions.add('topic IS NOT NULL AND "offset" = {}', offset)
    return _query(conditions, raw)


def rejection(rejection_id: int, *, raw: bool = False) -> Query:
    """One rejection."""
    conditions = Conditions()
    conditions.add("id = {}", rejection_id)
    return _query(conditions, raw)


def _query(conditions: Conditions, raw: bool) -> Query:
    return Query(
        select=f"SELECT * FROM ingest.rejection {conditions.where}",  # noqa: S608 - constants of the program
        columns=(*COLUMNS, RAW) if raw else COLUMNS,
        arguments=tuple(conditions.arguments),
        order=("id",),
        descending=True,
        joins="LEFT JOIN ingest.load l ON l.id = q.load_id",
        expressions={"run_id": "l.run_id", RAW: "encode(q.raw, 'hex')"},
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
