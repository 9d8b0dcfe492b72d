"""The SQL of a load before its merge: staged tables, checks, rejections. The strategies have the merge."""

from collections.abc import Iterable, Sequence

from library.datasets.declaration import Action, Dataset, Expectation, sql_type
from library.datasets.ingest import Rejection
from library.datasets.sql import (
    CHANGE,
    LINE,
    PARENT,
    changed_name,
    columns,
    insert_into,
    quote,
    quote_literal,
    staged,
    staged_name,
)
from library.datasets.strategies import Family
from library.staging.files import RAW_LIMIT


def create_staged(dataset: Dataset) -> str:
    """Make a table like the staged CSV, for one transaction. It replaces a table that a stream kept."""
    return f"DROP TABLE IF EXISTS {staged(dataset)}; CREATE TEMP TABLE {_staged_form(dataset)} ON COMMIT DROP"


def keep_staged(dataset: Dataset) -> str:
    """The same for many small loads. The connection keeps the table, so the catalog does not grow."""
    return f"CREATE TEMP TABLE IF NOT EXISTS {_staged_form(dataset)} ON COMMIT DELETE ROWS"


def keep_changed(dataset: Dataset) -> str:
    """Make a table for the keys that a load writes. The connection keeps it; it is empty after each commit."""
    key = [f"{quote(name)} {sql_type(dataset.table.columns[name])} NOT NULL" for name in dataset.key]
    form = f"{quote(changed_name(dataset.model))} ({', '.join(key)}, {quote(CHANGE)} text NOT NULL)"
    return f"CREATE TEMP TABLE IF NOT EXISTS {form} ON COMMIT DELETE ROWS"


def _staged_form(dataset: Dataset) -> str:
    places = [f"{quote(LINE)} bigint NOT NULL"] + ([f"{quote(PARENT)} bigint NOT NULL"] if dataset.parent else [])
    cells = [f"{quote(column.name)} {sql_type(column)}" for column in dataset.columns]
    return f"{quote(staged_name(dataset))} ({', '.join(places + cells)})"


def built_in_expectations(dataset: Dataset) -> tuple[Expectation, ...]:
    """The expectations of the model itself: columns that must not be null."""
    return tuple(
        Expectation(f"{column.name}: missing", f"{quote(column.name)} IS NOT NULL")
        for column in dataset.columns
        if not column.nullable
    )


def count_failures(dataset: Dataset, expectations: Iterable[Expectation]) -> str:
    """One row: how many staged rows do not meet each expectation, in their order."""
    counts = ", ".join(f"count(*) FILTER (WHERE ({rule.predicate}) IS NOT TRUE)" for rule in expectations)
    return f"SELECT {counts} FROM {staged(dataset)}"


def reject_failures(dataset: Dataset, expectations: Iterable[Expectation], origin: Sequence[str]) -> str:
    """Move the rows that fail any of the expectations to the rejections.

    Args:
        dataset: the dataset of the rows.
        expectations: the expectations that the rows must meet.
        origin: columns of `ingest.rejection` for the origin of a row, with the parameters $1, $2 and so on. The last
            column has the row's line.
    """
    rules = [rule for rule in expectations if rule.action is Action.QUARANTINE]
    literals = [quote_literal(rule.name) for rule in rules]
    failed = " OR ".join(f"({rule.predicate}) IS NOT TRUE" for rule in rules)
    names = ", ".join(
        f"CASE WHEN ({rule.predicate}) IS NOT TRUE THEN {literal} END"
        for rule, literal in zip(rules, literals, strict=True)
    )
    return _move_to_rejections(dataset, failed, f"array_remove(ARRAY[{names}], NULL)", origin)


def enter_readers_rejections() -> str:
    """Copy the reader's rejections ($1 load, $2 source, $3 landed object), and count them by dataset."""
    names = ("load_id", "source", "object_key", "dataset", "line", "reasons", "raw")
    return (
        f"WITH entered AS ({insert_into(Rejection, names)} "
        "SELECT $1, $2, $3, dataset, line, reasons, raw FROM pg_temp.staged_rejections RETURNING dataset) "
        "SELECT dataset, count(*) AS rows FROM entered GROUP BY dataset"
    )


def reject_orphans(dataset: Dataset, origin: Sequence[str]) -> str:
    """Move children whose parent's row was refused, or never staged, to the rejections.

    Args:
        dataset: the dataset of the children.
        origin: as in `reject_failures`: columns of `ingest.rejection` with the parameters $1, $2 and so on.
    """
    orphaned = f"NOT EXISTS ({_family(dataset).staged_parent()})"
    return _move_to_rejections(dataset, orphaned, "ARRAY['parent refused']", origin)


def drop_orphans(dataset: Dataset) -> str:
    """Remove the children of parents that are repeated in the same load, newer or later."""
    return f"DELETE FROM {staged(dataset)} s WHERE NOT EXISTS ({_family(dataset).staged_parent()})"


def _family(dataset: Dataset) -> Family:
    if not isinstance(dataset.strategy, Family):
        raise TypeError(f"{dataset.name} has no parent")
    return dataset.strategy


def _move_to_rejections(dataset: Dataset, failed: str, reasons: str, origin: Sequence[str]) -> str:
    alike = ", ".join(f"${number}" for number in range(1, len(origin)))
    return (
        f"WITH refused AS (DELETE FROM {staged(dataset)} s WHERE {failed} RETURNING *), "
        f"named AS (SELECT {quote(LINE)} AS line, {reasons} AS reasons, {raw_form(dataset)} AS raw FROM refused) "
        f"{insert_into(Rejection, (*origin, 'dataset', 'reasons', 'raw'))} "
        f"SELECT {alike}, line, {quote_literal(dataset.name)}, reasons, "
        f"CASE WHEN length(raw) <= {RAW_LIMIT} THEN raw END FROM named"
    )


def raw_form(dataset: Dataset) -> str:
    """A staged row as the bytes of a JSON object."""
    cells = columns(column.name for column in dataset.columns)
    return f"convert_to((SELECT row_to_json(cells) FROM (SELECT {cells}) cells)::text, 'UTF8')"


WORTH_ANALYZING = 20_000
"""With more rows than this, ANALYZE of a temporary table is worth its time (0.2 s for a million rows)."""


def analyze(dataset: Dataset) -> str:
    """ANALYZE the staged columns that joins and sorts use. All columns would take twice as long."""
    places = (LINE, PARENT) if dataset.parent else ()
    return f"ANALYZE {staged(dataset)} ({columns([*places, *dataset.key, *dataset.order])})"


def has_repeated_keys(dataset: Dataset) -> str:
    """Whether any key is repeated among the staged rows."""
    key = columns(dataset.key)
    if len(dataset.key) == 1:  # sorting one column beats hashing it: 0.2 against 0.75 s for a million integers in order
        return f"SELECT count(DISTINCT {key}) < count(*) FROM {staged(dataset)}"
    return f"SELECT EXISTS (SELECT FROM {staged(dataset)} GROUP BY {key} HAVING count(*) > 1)"


def drop_repeated_keys(dataset: Dataset) -> str:
    """Of each key keep the newest row; of equally new ones the last in the file (a fresh table's ctid is its order)."""
    order = ", ".join([*(f"{quote(name)} DESC" for name in dataset.order), "ctid DESC"])
    return (
        f"DELETE FROM {staged(dataset)} s USING (SELECT ctid, row_number() OVER "
        f"(PARTITION BY {columns(dataset.key)} ORDER BY {order}) AS place FROM {staged(dataset)}) ranked "
        "WHERE s.ctid = ranked.ctid AND ranked.place > 1"
    )
