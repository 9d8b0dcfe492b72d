"""Questions about what was refused."""

import base64
from collections.abc import Mapping
from typing import Any

from library.warehouse.queries.conditions import Conditions
from library.warehouse.queries.pages import Query

_OWN = ("id", "source", "dataset", "object_key", "line", "reasons", "rejected_at", "load_id")
COLUMNS = (*_OWN, "run_id")
RAW = "raw"
"""The row as it came, in hexadecimal digits; only in queries that ask for it."""


def rejections(
    *, source: str | None = None, run_id: str | None = None, reason: str | None = None, raw: bool = False
) -> Query:
    """Rejections, the newest first.

    Args:
        source: whose they are.
        run_id: of the run that loaded the rest of their objects, or found that it was loaded already.
        reason: what one of their reasons begins with: an expectation's name, or a column's.
        raw: whether their raw forms are wanted too.
    """
    demanded = Conditions()
    demanded.add("r.source = {}", source)
    demanded.add(
        "r.load_id IN (SELECT id FROM ingest.load WHERE run_id = {} "
        "UNION SELECT unnest(load_ids) FROM ingest.run WHERE id = {})",
        run_id,
    )
    demanded.add("EXISTS (SELECT FROM unnest(r.reasons) one WHERE starts_with(one, {}))", reason)
    return _query(demanded, raw)


def rejection(rejection_id: int, *, raw: bool = False) -> Query:
    """One of them."""
    demanded = Conditions()
    demanded.add("r.id = {}", rejection_id)
    return _query(demanded, raw)


def _query(demanded: Conditions, raw: bool) -> Query:
    shown = [*(f"r.{column}" for column in _OWN), "l.run_id", *(["encode(r.raw, 'hex') AS raw"] if raw else [])]
    return Query(
        select=(
            f"SELECT {', '.join(shown)} FROM ingest.rejection r "  # noqa: S608 - constants of the program
            f"LEFT JOIN ingest.load l ON l.id = r.load_id {demanded.where}"
        ),
        columns=(*COLUMNS, RAW) if raw else COLUMNS,
        arguments=tuple(demanded.arguments),
        order=("id",),
        descending=True,
    )


def readable(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item with its raw form as text where that is one, else in base64; `raw_encoding` says which."""
    if item[RAW] is None:
        return {**item, "raw_encoding": None}
    raw = bytes.fromhex(item[RAW])
    try:
        return {**item, RAW: raw.decode(), "raw_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {**item, RAW: base64.b64encode(raw).decode(), "raw_encoding": "base64"}
