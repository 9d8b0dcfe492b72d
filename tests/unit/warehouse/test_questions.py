"""A question is declared once: its statement, columns and parameters come from the declaration."""

from dataclasses import replace
from datetime import date
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import ARRAY, Column, Date, Double, SmallInteger, Text, func, select
from sqlmodel import col

from library.datasets.fields import field
from library.datasets.views import View
from library.warehouse.queries import columns as shown
from library.warehouse.queries.building import page_statement, table_statement
from library.warehouse.queries.filters import ActiveFilters, Argument, Audited, Filter, Flag, at_least, equal
from library.warehouse.queries.parameters import Text as TextParameter
from library.warehouse.queries.question import Question, Sort
from library.warehouse.queries.statement import AnyRows, AnySelect


class Ward(View, table=True):
    """A made-up ward."""

    __tablename__ = "ward"
    __table_args__ = ({"schema": "made_up"},)

    code: str = field("Its code.", "W1", sa_type=Text, primary_key=True)
    floor: int = field("From the ground, 0.", 2, ge=0, sa_type=SmallInteger)
    opened: date = field("When it was opened.", sa_type=Date)
    load: float | None = field("Occupied / available.", None, default=None, sa_type=Double)
    tags: list[str] = field("Words for it.", sa_column=Column(ARRAY(Text), nullable=False))


class WardSort(StrEnum):
    """What wards can be sorted by."""

    CODE = "code"
    LOAD = "load"


WARDS = Question(
    name="made_up.wards",
    about="Wards.",
    scope="read:wards",
    rows=lambda filters: select(Ward, func.coalesce(Ward.load, -1).label("sort_load")).where(*filters.conditions()),
    columns=(
        *shown.columns(Ward, "code", "floor", "load"),
        shown.Column("age", int, "Days.", 17).computed_by(lambda rows: func.current_date() - rows.c.opened),
        shown.Column("tags", list[str], only_with="tagged"),
    ),
    item="WardItem",
    each="A ward.",
    order=("floor", "code"),
    sort=Sort(WardSort, {WardSort.LOAD: "sort_load"}),
    parameters=(
        equal("floor", int, Audited.VALUE, col(Ward.floor), "Only of this floor."),
        at_least("from", date, Audited.NAME, col(Ward.opened), "Opened then or later."),
        Flag("tagged", bool, Audited.VALUE, "With the tags."),
    ),
)


def sql(statement: Any) -> str:
    return " ".join(statement.sql.split())


def test_a_condition_that_is_not_given_is_left_out() -> None:
    assert "WHERE" not in sql(table_statement(WARDS.ask(), None))
    given = table_statement(WARDS.ask(floor=2), None)
    assert "WHERE made_up.ward.floor = $1::SMALLINT) AS q" in sql(given)
    assert given.names == ("floor",)


def test_a_question_cannot_be_asked_without_a_parameter_that_it_needs() -> None:
    def above(filters: ActiveFilters) -> AnySelect:
        return select(Ward).where(col(Ward.floor) > filters.value("floor", SmallInteger()))

    needed = Argument("floor", int, Audited.VALUE, "Above this floor.", 2)
    wards = replace(WARDS, rows=above, parameters=(needed,))
    with pytest.raises(TypeError, match=r"made_up\.wards needs floor"):
        wards.ask()
    assert "WHERE made_up.ward.floor > $1::SMALLINT" in sql(table_statement(wards.ask(floor=2), None))


def test_a_parameter_has_the_type_of_its_column_and_a_constant_is_part_of_the_text() -> None:
    since: dict[str, Any] = {"from": date(2020, 1, 1)}
    statement = page_statement(WARDS.ask(sort="load", **since), 10, after=True)
    assert "made_up.ward.opened >= $1::DATE" in sql(statement)
    assert "coalesce(made_up.ward.load, -1)" in sql(statement)
    assert statement.names == ("from", "after_0", "after_1", "after_2")
    assert statement.arguments({"from": 1, "after_0": 2, "after_1": 3, "after_2": 4}) == [1, 2, 3, 4]


def test_a_page_begins_after_its_cursor_in_the_order_that_is_asked_for() -> None:
    statement = sql(page_statement(WARDS.ask(descending=True), 10, after=True))
    assert "(q.floor, q.code) < (CAST($1::TEXT AS SMALLINT), CAST($2::TEXT AS TEXT))" in statement
    assert "ORDER BY q.floor DESC, q.code DESC LIMIT 10)" in statement
    ascending = sql(page_statement(WARDS.ask(sort="load"), 10, after=True))
    assert "(q.sort_load, q.floor, q.code) > (" in ascending


def test_a_statement_is_compiled_once_for_each_set_of_parameters_whatever_their_values_and_the_limit() -> None:
    built: list[ActiveFilters] = []

    def rows(filters: ActiveFilters) -> AnyRows:
        built.append(filters)
        return WARDS.rows(filters)

    counting = replace(WARDS, rows=rows)
    for floor, limit in ((1, 10), (2, 20), (3, 30)):
        assert f"LIMIT {limit})" in sql(page_statement(counting.ask(floor=floor), limit, after=False))
    page_statement(counting.ask(), 10, after=False)
    assert ["floor" in each for each in built] == [True, False]


def test_a_flag_adds_its_column_to_the_statement_and_all_columns_are_in_the_item() -> None:
    assert "q.tags AS tags" not in sql(table_statement(WARDS.ask(tagged=False), None))
    assert "q.tags AS tags" in sql(table_statement(WARDS.ask(tagged=True), None))
    document = WARDS.item_model.model_json_schema()
    assert document["title"] == "WardItem"
    assert list(document["properties"]) == ["code", "floor", "load", "age", "tags"]
    assert document["required"] == ["code", "floor", "load", "age"]


def test_an_item_has_types_limits_descriptions_and_examples_of_the_models_fields() -> None:
    properties = WARDS.item_model.model_json_schema()["properties"]
    assert properties["floor"] == {
        "title": "Floor", "type": "integer", "minimum": 0, "description": "From the ground, 0.", "examples": [2]
    }  # fmt: skip
    assert properties["load"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert (properties["age"]["description"], properties["age"]["examples"]) == ("Days.", [17])


def test_a_new_filter_is_one_more_parameter() -> None:
    wards = replace(
        WARDS,
        parameters=(*WARDS.parameters, equal("code", TextParameter, Audited.PSEUDONYM, col(Ward.code), "Its code.")),
    )
    assert "WHERE made_up.ward.code = $1::TEXT)" in sql(table_statement(wards.ask(code="W1"), None))


def test_a_filter_of_which_the_audit_knows_nothing_cannot_be_declared() -> None:
    declare: Any = Filter
    with pytest.raises(TypeError, match="audited"):
        declare("floor", int, condition=lambda value: col(Ward.floor) == value)


def test_a_question_refuses_two_parameters_of_one_name_and_one_that_it_does_not_have() -> None:
    with pytest.raises(ValueError, match="two have the same name"):
        replace(WARDS, parameters=(*WARDS.parameters, WARDS.parameters[0]))
    with pytest.raises(TypeError, match="has no parameter flor"):
        WARDS.ask(flor=2)
