"""Loads a staged object as text, cell by cell, after COPY refused it. A bad row never stops the others."""

import asyncio
import csv
import re
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from library.contracts.errors import StagedObjectMalformed
from library.contracts.loads import LoadRequest, StagedObject
from library.datasets.declaration import Dataset, sql_type
from library.datasets.ingest import Rejection
from library.datasets.sql import LINE, insert_into, quote, quote_literal, staged
from library.objects.staged import StagedObjects
from library.objects.store import CHUNK, Progress
from library.staging.files import RAW_LIMIT, staged_columns
from library.warehouse.checks import affected
from library.warehouse.pool import Connection
from library.warehouse.sessions import Beat
from library.warehouse.statements import create_staged, raw_form

csv.field_size_limit(2**31 - 1)  # a text may be as long as Postgres allows
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_BEAT_EVERY = 10_000


@dataclass(frozen=True)
class Salvaged:
    """A staged object, split into rows that can be text in Postgres and rows that cannot.

    Attributes:
        readable: a CSV file with the rows that can.
        unreadable: line, reasons and raw form of those that cannot.
        rows: how many rows the object has.
    """

    readable: Path
    unreadable: "list[_Unreadable]"
    rows: int


async def salvage(objects: StagedObjects, dataset: Dataset, entry: StagedObject, folder: Path, beat: Beat) -> Salvaged:
    """Split a staged object. Do this before the transaction, which must not wait for a download."""
    loop, context = asyncio.get_running_loop(), copy_context()

    def beat_from_thread(_: int = 0) -> None:
        loop.call_soon_threadsafe(beat, context=context)

    return await asyncio.to_thread(_part, objects, dataset, entry, folder, beat_from_thread)


async def copy_salvaged(
    connection: Connection, request: LoadRequest, dataset: Dataset, salvaged: Salvaged
) -> tuple[int, int]:
    """Fill the dataset's staged table from the rows that have the right types; the others become rejections.

    Returns:
        How many rows the object has, and how many of them are in the staged table now.
    """
    columns = staged_columns(dataset)
    await connection.execute(create_staged(dataset))
    # The text table needs a name that no dataset's table can have.
    await connection.execute(
        f"CREATE TEMP TABLE salvaged ({', '.join(f'{quote(column)} text' for column in columns)}) ON COMMIT DROP"
    )
    await connection.copy_to_table("salvaged", source=salvaged.readable, format="csv", columns=columns)
    place = (request.identity.load_id, request.identity.source, request.landed.key)
    await connection.executemany(
        f"{insert_into(Rejection, _REJECTED)} VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [(*place, dataset.name, *row) for row in salvaged.unreadable],
    )
    await connection.execute(_reject_wrong_types(dataset), *place)
    casts = ", ".join(f"{quote(column)}::{kind}" for column, kind in _types(dataset))
    typed = await connection.execute(f"INSERT INTO {staged(dataset)} SELECT {casts} FROM salvaged")
    await connection.execute("DROP TABLE salvaged")
    return salvaged.rows, affected(typed)


_REJECTED = ("load_id", "source", "object_key", "dataset", "line", "reasons", "raw")
"""The columns of a rejection of a staged row."""

type _Unreadable = tuple[int, list[str], bytes | None]


def _part(objects: StagedObjects, dataset: Dataset, entry: StagedObject, folder: Path, progress: Progress) -> Salvaged:
    columns = staged_columns(dataset)
    staged_file, readable = folder / f"{dataset.name}.staged", folder / f"{dataset.name}.readable"
    objects.download(entry.object, staged_file, progress=progress)
    unreadable: list[_Unreadable] = []
    rows = 0
    with (
        staged_file.open(encoding="utf-8", errors="surrogateescape", newline="", buffering=CHUNK) as source,
        readable.open("w", encoding="utf-8", newline="") as target,
    ):
        writer = csv.writer(target, quoting=csv.QUOTE_STRINGS, lineterminator="\n")
        reader = csv.reader(source, quoting=csv.QUOTE_NOTNULL)
        if tuple(next(reader, ())) != columns:
            raise StagedObjectMalformed(f"A staged object of {dataset.name} does not have the columns {list(columns)}.")
        for rows, row in enumerate(reader, start=1):
            if rows % _BEAT_EVERY == 0:
                progress(rows)
            reasons = list(_unreadable(row, columns))
            if not reasons:
                writer.writerow(row)
                continue
            line = int(row[0]) if row and row[0] is not None and row[0].isascii() and row[0].isdigit() else rows
            raw = ",".join(cell or "" for cell in row).encode(errors="surrogateescape")
            unreadable.append((line, reasons, raw if len(raw) <= RAW_LIMIT else None))
    staged_file.unlink()
    return Salvaged(readable, unreadable, rows)


def _unreadable(row: list[str], columns: tuple[str, ...]) -> Iterator[str]:
    if len(row) != len(columns):
        yield f"{len(row)} cells instead of {len(columns)}"
        return
    for column, cell in zip(columns, row, strict=True):
        if "\0" in (cell or ""):
            yield f"{column}: holds a NUL character"
        elif _NOT_UTF8.search(cell or ""):
            yield f"{column}: not UTF-8"


def _types(dataset: Dataset) -> list[tuple[str, str]]:
    places = staged_columns(dataset)[: -len(dataset.columns)]
    return [(place, "bigint") for place in places] + [(column.name, sql_type(column)) for column in dataset.columns]


def _reject_wrong_types(dataset: Dataset) -> str:
    """Move the rows with a cell that its column cannot hold to the rejections ($1 load, $2 source, $3 object)."""
    typed = [(name, kind) for name, kind in _types(dataset) if kind != "TEXT"]
    valid = " AND ".join(
        f"coalesce(pg_input_is_valid({quote(name)}, {quote_literal(kind)}), true)" for name, kind in typed
    )
    reasons = ", ".join(
        f"CASE WHEN NOT pg_input_is_valid({quote(name)}, {quote_literal(kind)}) "
        f"THEN {quote_literal(f'{name}: not a valid {kind.lower()}')} END"
        for name, kind in typed
    )
    return (
        f"WITH refused AS (DELETE FROM salvaged WHERE NOT ({valid}) RETURNING *) "
        f"{insert_into(Rejection, _REJECTED)} SELECT $1, $2, $3, {quote_literal(dataset.name)}, "
        f"CASE WHEN pg_input_is_valid({quote(LINE)}, 'bigint') THEN {quote(LINE)}::bigint ELSE 0 END, "
        f"array_remove(ARRAY[{reasons}], NULL), {raw_form(dataset)} FROM refused"
    )
