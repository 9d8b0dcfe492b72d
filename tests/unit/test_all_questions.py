"""What holds for every question that the warehouse is asked by name."""

import re
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Column, FromClause
from sqlalchemy.sql.functions import coalesce
from sqlalchemy.types import NullType

from library.warehouse.queries.building import answer_types, page_statement, table_statement
from library.warehouse.queries.filters import ActiveFilters, Argument
from library.warehouse.queries.question import BoundQuestion, Question
from service.questions import all_questions

QUESTIONS = all_questions()
EVERY = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())

NEVER_NULL_BY_ITS_EXPRESSION = {
    ("fhir.observations", "sort_time"),
    ("fhir.zipcodes", "server"),
    ("records.statistics", "distinct_laboratory_tests"),
}
"""Columns that Postgres computes with a constant as the last resort, from either side of a join, and as a count."""


def orders(question: Question) -> list[tuple[str, ...]]:
    choices = [None] if question.sort is None else list(question.sort.choices)
    needed: dict[str, Any] = {each.name: each.example for each in question.parameters if isinstance(each, Argument)}
    return [question.ask(sort=choice, **needed).order for choice in choices]


def rows_of(question: Question) -> FromClause:
    return question.rows(ActiveFilters((), frozenset(), descending=False)).subquery()


def test_the_names_of_questions_begin_with_their_room_and_are_unique() -> None:
    assert len(QUESTIONS) > 12
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", name) for name in QUESTIONS)


@EVERY
def test_a_question_becomes_a_statement_with_all_of_its_parameters_in_each_order(question: Question) -> None:
    values = dict.fromkeys(question.by_name, 1)
    for order, descending, after in product(orders(question), (False, True), (False, True)):
        query = BoundQuestion(question, values, order, descending)
        for statement in (page_statement(query, 10, after=after), table_statement(query, 10)):
            asked = {name for name in statement.names if not name.startswith("after_")}
            assert asked == values.keys() - {each.only_with for each in question.columns}
            places = re.findall(r"(CAST\()?\$\d+(::[A-Z]+)?", statement.sql)
            assert all(cast or kind for cast, kind in places), statement.sql


@EVERY
def test_columns_of_an_order_are_never_null(question: Question) -> None:
    rows = rows_of(question)
    for name in {name for order in orders(question) for name in order}:
        if (question.name, name) in NEVER_NULL_BY_ITS_EXPRESSION:
            continue
        (base, *_) = rows.c[name].base_columns
        element = getattr(base, "element", base)
        assert isinstance(element, coalesce) or (isinstance(base, Column) and not base.nullable), name


@EVERY
def test_each_column_of_an_answer_has_an_sql_type(question: Question) -> None:
    types = answer_types(question)
    assert types.keys() == {each.name for each in question.columns}
    assert not [name for name, kind in types.items() if isinstance(kind, NullType)]


@EVERY
def test_each_column_of_an_answer_is_described(question: Question) -> None:
    assert not [each.name for each in question.columns if not each.about]
