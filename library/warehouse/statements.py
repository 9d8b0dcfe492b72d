"""The SQL of a load, made from a dataset's declaration. Names are quoted; no value is ever put into a text."""

from collections.abc import Iterable, Sequence

from sqlalchemy.dialects import postgresql

from library.datasets.declaration import Action, Dataset, Expectation, sql_type
from library.staging.files import LINE, PARENT, RAW_LIMIT

_quoted = postgresql.dialect().identifier_preparer.quote_identifier  # type: ignore[no-untyped-call]


def quote(name: str) -> str:
    """The name as an SQL identifier."""
    return str(_quoted(name))


def table(dataset: Dataset) -> str:
    """The stored table."""
    return f"{quote(dataset.table.schema or 'public')}.{quote(dataset.table.name)}"


def staged(dataset: Dataset) -> str:
    """The temporary table of a load; it is gone with the transaction."""
    return f"pg_temp.{quote(staged_name(dataset))}"


def staged_name(dataset: Dataset) -> str:
    """The temporary table's name, unquoted."""
    return f"staged {dataset.name}"


def _winners(parent: Dataset) -> str:
    return quote(f"winners {parent.name}")


def _columns(names: Iterable[str], alias: str = "") -> str:
    prefix = f"{alias}." if alias else ""
    return ", ".join(f"{prefix}{quote(name)}" for name in names)


def _row(names: Iterable[str], alias: str) -> str:
    return f"ROW({_columns(names, alias)})"


def _equal(left: str, right: str, pairs: Iterable[tuple[str, str]]) -> str:
    return " AND ".join(f"{left}.{quote(one)} = {right}.{quote(other)}" for one, other in pairs)


def _same(names: Iterable[str], left: str, right: str) -> str:
    return _equal(left, right, ((name, name) for name in names))


def create_staged(dataset: Dataset) -> str:
    """A table like the staged CSV, for one transaction; one that a stream kept on this connection gives way."""
    return f"DROP TABLE IF EXISTS {staged(dataset)}; CREATE TEMP TABLE {_staged_form(dataset)} ON COMMIT DROP"


def keep_staged(dataset: Dataset) -> str:
    """The same for many small loads: kept by the connection, empty after each commit, so that no catalog bloats."""
    return f"CREATE TEMP TABLE IF NOT EXISTS {_staged_form(dataset)} ON COMMIT DELETE ROWS"


def _staged_form(dataset: Dataset) -> str:
    places = [f"{quote(LINE)} bigint NOT NULL"] + ([f"{quote(PARENT)} bigint NOT NULL"] if dataset.parent else [])
    cells = [f"{quote(column.name)} {sql_type(column)}" for column in dataset.columns]
    return f"{quote(staged_name(dataset))} ({', '.join(places + cells)})"


def built_in_expectations(dataset: Dataset) -> tuple[Expectation, ...]:
    """What the model itself says of a row: columns that may not be null."""
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
        dataset: whose rows.
        expectations: that they have to meet.
        origin: columns of `ingest.rejection` that say whence a row is: $1, $2 and so on, the last one from its line.
    """
    rules = [rule for rule in expectations if rule.action is Action.QUARANTINE]
    literals = [quote_literal(rule.name) for rule in rules]
    failed = " OR ".join(f"({rule.predicate}) IS NOT TRUE" for rule in rules)
    names = ", ".join(
        f"CASE WHEN ({rule.predicate}) IS NOT TRUE THEN {literal} END"
        for rule, literal in zip(rules, literals, strict=True)
    )
    return _move_to_rejections(dataset, failed, f"array_remove(ARRAY[{names}], NULL)", origin)


def reject_orphans(dataset: Dataset, origin: Sequence[str]) -> str:
    """Move children whose parent's row was refused, or never staged, to the rejections (parameters as above)."""
    return _move_to_rejections(dataset, f"NOT EXISTS ({_own_parent(dataset)})", "ARRAY['parent refused']", origin)


def drop_orphans(dataset: Dataset) -> str:
    """Remove the children of parents that came again, newer or later, in the same load."""
    return f"DELETE FROM {staged(dataset)} s WHERE NOT EXISTS ({_own_parent(dataset)})"


def _own_parent(dataset: Dataset) -> str:
    parent = _parent(dataset)
    pairs = zip(dataset.parent_key, parent.key, strict=True)
    return f"SELECT FROM {staged(parent)} p WHERE p.{quote(LINE)} = s.{quote(PARENT)} AND {_equal('s', 'p', pairs)}"


def _parent(dataset: Dataset) -> Dataset:
    if dataset.parent is None:
        raise ValueError(f"{dataset.name} has no parent")
    return dataset.parent


def _move_to_rejections(dataset: Dataset, failed: str, reasons: str, origin: Sequence[str]) -> str:
    alike = ", ".join(f"${number}" for number in range(1, len(origin)))
    return (
        f"WITH refused AS (DELETE FROM {staged(dataset)} s WHERE {failed} RETURNING *), "
        f"named AS (SELECT {quote(LINE)} AS line, {reasons} AS reasons, {raw_form(dataset)} AS raw FROM refused) "
        f"INSERT INTO ingest.rejection ({_columns(origin)}, dataset, reasons, raw) "
        f"SELECT {alike}, line, {quote_literal(dataset.name)}, reasons, "
        f"CASE WHEN length(raw) <= {RAW_LIMIT} THEN raw END FROM named"
    )


def raw_form(dataset: Dataset) -> str:
    """A staged row as the bytes of a JSON object."""
    cells = _columns(column.name for column in dataset.columns)
    return f"convert_to((SELECT row_to_json(cells) FROM (SELECT {cells}) cells)::text, 'UTF8')"


def quote_literal(text: str) -> str:
    """A constant of the program as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def analyze(dataset: Dataset) -> str:
    """Gather statistics of the staged columns that joins and sorts use; those of all columns take twice as long."""
    places = (LINE, PARENT) if dataset.parent else ()
    return f"ANALYZE {staged(dataset)} ({_columns([*places, *dataset.key, *dataset.order])})"


def has_repeated_keys(dataset: Dataset) -> str:
    """Whether any key stands twice among the staged rows."""
    key = _columns(dataset.key)
    if len(dataset.key) == 1:  # sorting one column beats hashing it: 0.2 against 0.75 s for a million integers in order
        return f"SELECT count(DISTINCT {key}) < count(*) FROM {staged(dataset)}"
    return f"SELECT EXISTS (SELECT FROM {staged(dataset)} GROUP BY {key} HAVING count(*) > 1)"


def drop_repeated_keys(dataset: Dataset) -> str:
    """Of each key keep the newest row; of equally new ones the last in the file (a fresh table's ctid is its order)."""
    order = ", ".join([*(f"{quote(name)} DESC" for name in dataset.order), "ctid DESC"])
    return (
        f"DELETE FROM {staged(dataset)} s USING (SELECT ctid, row_number() OVER "
        f"(PARTITION BY {_columns(dataset.key)} ORDER BY {order}) AS place FROM {staged(dataset)}) ranked "
        "WHERE s.ctid = ranked.ctid AND ranked.place > 1"
    )


def merge(dataset: Dataset) -> str:
    """Bring the staged rows in ($1 load, $2 reader version); answers how many were inserted and how many updated.

    A staged row wins when its order is greater than the stored one's, or equal with a reader version that is not lower.
    What wins is written only where it says something else, in values or order, or comes from a newer reader: order and
    version too, or with 10=A stored, 20=A skipped as unchanged and a late 15=B, the end would be B.
    """
    source = f"SELECT * FROM {staged(dataset)}"
    if dataset.parent is not None:
        pairs = zip(dataset.parent_key, dataset.parent.key, strict=True)
        source = f"SELECT s.* FROM {staged(dataset)} s JOIN {_winners(dataset.parent)} w ON {_equal('s', 'w', pairs)}"
    compared = (*dataset.values, *dataset.order)
    told = [column.name for column in dataset.columns]
    written = [name for name in told if name not in dataset.key and name not in dataset.written_once]
    assignments = "".join(f"{quote(name)} = s.{quote(name)}, " for name in written)
    changed = f"{_row(compared, 's')} IS DISTINCT FROM {_row(compared, 't')} OR " if compared else ""
    update = (
        f"WHEN MATCHED AND {_not_older(dataset, '$2::smallint')} "
        f"AND ({changed}t.reader_version < $2) "
        f"THEN UPDATE SET {assignments}load_id = $1, reader_version = $2 "
    )
    return (
        f"WITH merged AS (MERGE INTO {table(dataset)} t USING ({source}) s "
        f"ON {_same(dataset.key, 't', 's')}{_of_winners(dataset)} "
        f"{update}"
        f"WHEN NOT MATCHED THEN INSERT ({_columns(told)}, load_id, reader_version) "
        f"VALUES ({_columns(told, 's')}, $1, $2) "
        "RETURNING merge_action() AS action) "
        "SELECT count(*) FILTER (WHERE action = 'INSERT') AS inserted, "
        "count(*) FILTER (WHERE action = 'UPDATE') AS updated FROM merged"
    )


def insert(dataset: Dataset) -> str:
    """Bring the staged children of parents in that are all new ($1 load, $2 reader version): none is stored yet."""
    told = [column.name for column in dataset.columns]
    return (
        f"INSERT INTO {table(dataset)} ({_columns(told)}, load_id, reader_version) "
        f"SELECT {_columns(told)}, $1, $2 FROM {staged(dataset)}"
    )


def _of_winners(dataset: Dataset) -> str:
    """That a stored child is one of the winning parents': known as such, an index finds it, whatever else is stored."""
    if dataset.parent is None:
        return ""  # of a key of several columns the first says enough: the join holds the others against each other
    own, parents = quote(dataset.parent_key[0]), quote(dataset.parent.key[0])
    return f" AND t.{own} = ANY (ARRAY(SELECT {parents} FROM {_winners(dataset.parent)}))"


def _not_older(dataset: Dataset, version: str) -> str:
    if dataset.parent is not None:
        return "true"  # children go with their parent, and only those of parents that won are here
    ours, theirs = _columns(dataset.order, "s"), _columns(dataset.order, "t")
    comma = ", " if dataset.order else ""
    return f"ROW({ours}{comma}{version}) >= ROW({theirs}{comma}t.reader_version)"


def create_winners(parent: Dataset, version: int) -> str:
    """Keys of the staged parents that are not older than the stored ones, after their merge."""
    return (
        f"CREATE TEMP TABLE {_winners(parent)} ON COMMIT DROP AS "
        f"SELECT {_columns(parent.key, 's')} FROM {staged(parent)} s "
        f"JOIN {table(parent)} t ON {_same(parent.key, 't', 's')} WHERE {_not_older(parent, f'{version:d}::smallint')}"
    )


def delete_missing(dataset: Dataset) -> str:
    """Delete stored children that their parent, which won, no longer has."""
    pairs = zip(dataset.parent_key, _parent(dataset).key, strict=True)
    return (
        f"DELETE FROM {table(dataset)} t USING {_winners(_parent(dataset))} w "
        f"WHERE {_equal('t', 'w', pairs)}{_of_winners(dataset)} "
        f"AND NOT EXISTS (SELECT FROM {staged(dataset)} s WHERE {_same(dataset.key, 's', 't')})"
    )
