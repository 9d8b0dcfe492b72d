"""The ways in which the staged rows of a dataset become stored rows, each with its SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from library.datasets.declaration import Dataset, Strategy
from library.datasets.sql import (
    CHANGE,
    LINE,
    LOAD_ID,
    PARENT,
    READER_VERSION,
    changed,
    columns,
    equal,
    quote,
    quote_literal,
    staged,
    table,
)


@dataclass(frozen=True)
class Upsert(Strategy):
    """Each key has one row: a new row is inserted, and a newer row replaces the stored one.

    A staged row wins when its order is greater than the stored one's, or equal with a reader version that is not lower.
    A winner is written only if it differs from the stored row, in values or order, or comes from a newer reader. Order
    and version are compared too: with 10=A stored, 20=A skipped as unchanged and a late 15=B, the end would be B.

    Attributes:
        order: columns, never null, that order the versions of one key. The greatest wins. Empty: the later load wins.
        written_once: columns about the first load of a row. They are never changed or compared.
        provenance: columns that name the origin of a row. They are written with the row, but never compared.
    """

    order: tuple[str, ...] = ()
    written_once: tuple[str, ...] = ()
    provenance: tuple[str, ...] = ()

    @property
    def not_compared(self) -> frozenset[str]:
        """Columns that say when a row came, or where from."""
        return frozenset((*self.written_once, *self.provenance))

    def check(self, dataset: Dataset) -> None:
        """Raise a ValueError if columns are missing or contradictory, or order and can be null."""
        names = {column.name for column in dataset.columns}
        if missing := {*self.order, *self.not_compared} - names:
            raise ValueError(f"{dataset.name}: no such columns: {sorted(missing)}")
        nullable = {column.name for column in dataset.columns if column.nullable}
        if unordered := set(self.order) & nullable:
            raise ValueError(f"{dataset.name}: order columns are never null: {sorted(unordered)}")
        if both := set(self.order) & self.not_compared:
            raise ValueError(f"{dataset.name}: what orders versions changes with them: {sorted(both)}")
        if both := set(self.written_once) & set(self.provenance):
            raise ValueError(f"{dataset.name}: written once or with each version, not both: {sorted(both)}")

    def merge(self, dataset: Dataset) -> str:
        """SQL that writes the staged rows ($1 load, $2 reader version) and counts what it wrote."""
        return _merge(
            dataset,
            source=f"SELECT * FROM {staged(dataset)}",
            wins=self._not_older("$2::smallint"),
            kept=self.written_once,
        )

    def create_winners(self, dataset: Dataset, version: int) -> str:
        """SQL that keeps the keys of the merged parents that are not older than the stored ones."""
        return (
            f"CREATE TEMP TABLE {_winners(dataset)} ON COMMIT DROP AS "
            f"SELECT {columns(dataset.key, 's')} FROM {staged(dataset)} s "
            f"JOIN {table(dataset)} t ON {_same(dataset.key, 't', 's')} "
            f"WHERE {self._not_older(f'{version:d}::smallint')}"
        )

    def _not_older(self, version: str) -> str:
        ours, theirs = columns(self.order, "s"), columns(self.order, "t")
        comma = ", " if self.order else ""
        return f"ROW({ours}{comma}{version}) >= ROW({theirs}{comma}t.{READER_VERSION})"


@dataclass(frozen=True)
class ConcurrentUpsert(Upsert):
    """An `Upsert` for loads that seldom write the same keys: they merge at the same time.

    Loads share the dataset's lock at first. A load that conflicts with another one repeats its merge exclusively.
    """

    @property
    def needs_exclusive_lock(self) -> bool:
        """Whether each load locks the dataset exclusively: not until it repeats its merge."""
        return False


@dataclass(frozen=True, slots=True)  # a slot, so that the field `parent` replaces the property of `Strategy`
class Family(Strategy):
    """Replace the children of each parent that is not older as a set, under the parent's lock.

    Attributes:
        parent: the dataset that owns the rows.
        parent_key: the columns of the child's key that name the parent, in the order of the parent's key.
    """

    parent: Dataset = field()
    parent_key: tuple[str, ...]

    def check(self, dataset: Dataset) -> None:
        """Raise a ValueError if the parent cannot have children, or the key does not name it."""
        if self.parent.parent is not None:
            raise ValueError(f"{dataset.name}: a parent cannot have a parent itself")
        if not self.parent.strategy.needs_exclusive_lock:
            # An unchanged parent is not written, so no row lock keeps two loads of its children apart.
            raise ValueError(f"{dataset.name}: loads of a parent must have it alone, as Upsert does")
        if not set(self.parent_key) <= set(dataset.key) or len(self.parent_key) != len(self.parent.key):
            raise ValueError(f"{dataset.name}: its key must contain a column for each of {self.parent.key}")

    def merge(self, dataset: Dataset) -> str:
        """SQL that writes the children of winning parents, with the parameters of `Upsert.merge`."""
        source = (
            f"SELECT s.* FROM {staged(dataset)} s JOIN {_winners(self.parent)} w "
            f"ON {equal('s', 'w', zip(self.parent_key, self.parent.key, strict=True))}"
        )
        return _merge(dataset, source=source, wins="true", among=self._of_winners())

    def insert(self, dataset: Dataset) -> str:
        """SQL that inserts children of new parents ($1 load, $2 reader version). None is stored yet."""
        names = [column.name for column in dataset.columns]
        insert = (
            f"INSERT INTO {table(dataset)} ({columns(names)}, {LOAD_ID}, {READER_VERSION}) "
            f"SELECT {columns(names)}, $1, $2 FROM {staged(dataset)}"
        )
        return _with_keys_kept(dataset, insert, columns(dataset.key), "inserted")

    def delete_missing(self, dataset: Dataset) -> str:
        """Delete stored children that their parent, which won, no longer has."""
        delete = (
            f"DELETE FROM {table(dataset)} t USING {_winners(self.parent)} w "
            f"WHERE {equal('t', 'w', zip(self.parent_key, self.parent.key, strict=True))}{self._of_winners()} "
            f"AND NOT EXISTS (SELECT FROM {staged(dataset)} s WHERE {_same(dataset.key, 's', 't')})"
        )
        return _with_keys_kept(dataset, delete, columns(dataset.key, "t"), "deleted")

    def staged_parent(self) -> str:
        """A query for the staged row of the parent of the staged child `s`."""
        same = equal("s", "p", zip(self.parent_key, self.parent.key, strict=True))
        return f"SELECT FROM {staged(self.parent)} p WHERE p.{quote(LINE)} = s.{quote(PARENT)} AND {same}"

    def _of_winners(self) -> str:
        """The condition that a stored child belongs to a winning parent; it uses the index.

        The first column of the key is enough here: the join compares the others.
        """
        own, parents = quote(self.parent_key[0]), quote(self.parent.key[0])
        return f" AND t.{own} = ANY (ARRAY(SELECT {parents} FROM {_winners(self.parent)}))"


def _merge(dataset: Dataset, *, source: str, wins: str, kept: Sequence[str] = (), among: str = "") -> str:
    """MERGE staged rows; returns how many were inserted and updated.

    Args:
        dataset: whose rows.
        source: the query for them.
        wins: the condition that the staged row `s` may take the place of the stored row `t`.
        kept: columns of the stored row that stay as they are.
        among: a further condition on the stored rows.
    """
    compared = (*dataset.values, *dataset.order)
    names = [column.name for column in dataset.columns]
    written = [name for name in names if name not in dataset.key and name not in kept]
    assignments = "".join(f"{quote(name)} = s.{quote(name)}, " for name in written)
    differs = f"ROW({columns(compared, 's')}) IS DISTINCT FROM ROW({columns(compared, 't')}) OR " if compared else ""
    is_new, keys, kept_keys = "is_new", "", ""
    if dataset.steps:
        is_new, keys = quote(CHANGE), f", {columns(dataset.key, 't')}"
        change = f"CASE WHEN {is_new} THEN 'inserted' ELSE 'updated' END"
        kept_keys = f", kept AS ({_keep_keys(dataset, change, 'merged')})"
    return (
        f"WITH merged AS (MERGE INTO {table(dataset)} t USING ({source}) s "
        f"ON {_same(dataset.key, 't', 's')}{among} "
        f"WHEN MATCHED AND {wins} AND ({differs}t.{READER_VERSION} < $2) "
        f"THEN UPDATE SET {assignments}{LOAD_ID} = $1, {READER_VERSION} = $2 "
        f"WHEN NOT MATCHED THEN INSERT ({columns(names)}, {LOAD_ID}, {READER_VERSION}) "
        f"VALUES ({columns(names, 's')}, $1, $2) "
        f"RETURNING merge_action() = 'INSERT' AS {is_new}{keys}){kept_keys} "
        f"SELECT count(*) FILTER (WHERE {is_new}) AS inserted, "
        f"count(*) FILTER (WHERE NOT {is_new}) AS updated FROM merged"
    )


def _with_keys_kept(dataset: Dataset, statement: str, keys: str, change: str) -> str:
    """The statement. If the dataset has steps, it also keeps the keys of the written rows."""
    if not dataset.steps:
        return statement
    return f"WITH written AS ({statement} RETURNING {keys}) {_keep_keys(dataset, quote_literal(change), 'written')}"


def _keep_keys(dataset: Dataset, change: str, source: str) -> str:
    key = columns(dataset.key)
    return f"INSERT INTO {changed(dataset.model)} ({key}, {quote(CHANGE)}) SELECT {key}, {change} FROM {source}"


def _same(names: Sequence[str], left: str, right: str) -> str:
    return equal(left, right, ((name, name) for name in names))


def _winners(parent: Dataset) -> str:
    return quote(f"winners {parent.name}")
