"""Builds the statements of questions. Each is compiled once for each set of parameters that is given."""

from functools import lru_cache
from typing import Any

from sqlalchemy import FromClause, Label, Text, bindparam, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.types import TypeEngine

from library.warehouse.queries.filters import ActiveFilters
from library.warehouse.queries.question import BoundQuestion, Question
from library.warehouse.queries.statement import AnySelect, CompiledStatement, compiled

_CACHE_SIZE = 1_000
"""Statements that are kept, of a few kilobytes each."""
_LIMIT = "/* limit */"
"""Stands for the number of rows. As a parameter, Postgres would plan for any number."""

AFTER = "after_"
"""The beginning of the names of a cursor's parameters: `after_0`, `after_1`, …"""


def page_statement(query: BoundQuestion, limit: int, *, after: bool) -> CompiledStatement:
    """The statement of a page: a row has the item as JSON (`item`), and its place in the order as texts (`keys`).

    Args:
        query: the question with its values.
        limit: the most rows.
        after: whether the page begins after a cursor, whose texts are the parameters `after_0`, `after_1`, …
    """
    made = _page(query.question, frozenset(query.values), query.order, query.descending, after)
    return CompiledStatement(made.sql.replace(_LIMIT, str(int(limit))), made.names)


def table_statement(query: BoundQuestion, limit: int | None) -> CompiledStatement:
    """The statement of all rows, or of the first ones, with the columns of the answer."""
    made = _table(query.question, frozenset(query.values), query.order, query.descending, limit is not None)
    return made if limit is None else CompiledStatement(made.sql.replace(_LIMIT, str(int(limit))), made.names)


@lru_cache(_CACHE_SIZE)
def _page(
    question: Question, names: frozenset[str], order: tuple[str, ...], descending: bool, after: bool
) -> CompiledStatement:
    rows = _limited(_rows(question, names, descending), order, descending, after)
    # An item is a select of its own, so that Postgres writes the whole row as JSON.
    item = select(*_columns(question, names, rows)).correlate_except().subquery("i")
    as_json = select(func.row_to_json(literal_column("i"))).select_from(item).scalar_subquery()
    keys = array([cast(rows.c[name], Text) for name in order])
    page = select(cast(as_json, Text).label("item"), keys.label("keys")).select_from(_joined(question, rows))
    return compiled(page.order_by(*_ordering(rows, order, descending)))


def answer_types(question: Question) -> dict[str, TypeEngine[Any]]:
    """The SQL types of the answer's columns by their names, with those that a flag adds."""
    flags = frozenset(each.only_with for each in question.columns if each.only_with is not None)
    rows = _rows(question, flags, question.descending)
    return {each.name: each.type for each in _columns(question, flags, rows)}


@lru_cache(_CACHE_SIZE)
def _table(
    question: Question, names: frozenset[str], order: tuple[str, ...], descending: bool, limited: bool
) -> CompiledStatement:
    rows = _rows(question, names, descending)
    if limited:
        rows = _limited(rows, order, descending, after=False)
    table = select(*_columns(question, names, rows)).select_from(_joined(question, rows))
    return compiled(table.order_by(*_ordering(rows, order, descending)))


def _rows(question: Question, names: frozenset[str], descending: bool) -> FromClause:
    return question.rows(ActiveFilters(question.parameters, names, descending=descending)).subquery("q")


def _limited(rows: FromClause, order: tuple[str, ...], descending: bool, after: bool) -> FromClause:
    page: AnySelect = select(rows)
    if after:
        keys = [rows.c[name] for name in order]
        place = tuple_(
            *(cast(bindparam(f"{AFTER}{number}", type_=Text()), key.type) for number, key in enumerate(keys))
        )
        page = page.where(tuple_(*keys) < place if descending else tuple_(*keys) > place)
    return page.order_by(*_ordering(rows, order, descending)).limit(literal_column(_LIMIT)).subquery("q")


def _columns(question: Question, names: frozenset[str], rows: FromClause) -> list[Label[Any]]:
    return [
        (rows.c[each.name] if each.expression is None else each.expression(rows)).label(each.name)
        for each in question.columns
        if each.only_with is None or each.only_with in names
    ]


def _joined(question: Question, rows: FromClause) -> FromClause:
    return rows if question.joins is None else question.joins(rows)


def _ordering(rows: FromClause, order: tuple[str, ...], descending: bool) -> list[Any]:
    return [rows.c[name].desc() if descending else rows.c[name] for name in order]
