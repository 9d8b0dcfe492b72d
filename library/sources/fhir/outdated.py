"""Marks stored resources as outdated: a version that is not older was refused.

Versions come in any order, so both directions are statements: of a load with refused versions, and of a load with
versions that can be read.
"""

from library.datasets.declaration import Loaded, Step
from library.datasets.fields import table_of
from library.datasets.sql import LINE, LOAD_ID, columns, quote, quote_literal, staged_table


def mark_outdated(model: type[Loaded], refused: type[Loaded], order: tuple[str, ...]) -> Step:
    """After a load with refused versions: mark the stored ones that are not newer."""
    return Step(
        f"outdated {model.__name__}",
        f"UPDATE {_name(model)} t SET outdated = true "
        f"FROM {staged_table(refused)} s JOIN {_name(refused)} r USING (kind, id, server) "
        f"WHERE r.kind = {_kind(model)} AND t.id = r.id AND t.server = r.server AND NOT t.outdated "
        f"AND ROW({columns(order, 'r')}) >= ROW({columns(order, 't')})",
    )


def compare_with_refused(model: type[Loaded], refused: type[Loaded], order: tuple[str, ...]) -> Step:
    """After a load with versions that can be read: forget refused ones that are not newer, and mark the stored ones.

    Of equal versions the later one counts: that of the later load, or of the later line.
    """
    readable, refused_one, stored = (f"ROW({columns(order, alias)})" for alias in ("s", "r", "t"))
    later_line = f"r.{quote(LOAD_ID)} = t.{quote(LOAD_ID)} AND r.line > s.{quote(LINE)}"
    return Step(
        f"readable {model.__name__}",
        "WITH compared AS (SELECT r.id, r.server, "
        f"{readable} > {refused_one} OR ({readable} = {refused_one} AND NOT ({later_line})) AS is_replaced, "
        f"{refused_one} >= {stored} AS is_newest FROM {_name(refused)} r "
        f"JOIN {staged_table(model)} s USING (id, server) JOIN {_name(model)} t USING (id, server) "
        f"WHERE r.kind = {_kind(model)}), "
        f"forgotten AS (DELETE FROM {_name(refused)} r USING compared c "
        f"WHERE c.is_replaced AND r.kind = {_kind(model)} AND r.id = c.id AND r.server = c.server) "
        f"UPDATE {_name(model)} t SET outdated = c.is_newest AND NOT c.is_replaced FROM compared c "
        "WHERE t.id = c.id AND t.server = c.server AND t.outdated <> (c.is_newest AND NOT c.is_replaced)",
    )


def _name(model: type[Loaded]) -> str:
    table = table_of(model)
    return f"{quote(table.schema or 'public')}.{quote(table.name)}"


def _kind(model: type[Loaded]) -> str:
    return quote_literal(model.__name__)
