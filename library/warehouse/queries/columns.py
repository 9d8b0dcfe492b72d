"""The columns of an answer, with types, descriptions and examples from the models' fields."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo
from sqlalchemy import ColumnElement, FromClause
from sqlalchemy.orm import Mapped
from sqlmodel import SQLModel
from sqlmodel.main import FieldInfoMetadata

type Sql = ColumnElement[Any] | Mapped[Any]
"""An expression of SQL, or a model's attribute."""
type Expression = Callable[[FromClause], Sql]
"""Makes a column from the rows of a page."""


@dataclass(frozen=True)
class Column:
    """A column of an answer.

    Attributes:
        name: its name in JSON and CSV.
        type: its type, with pydantic's constraints.
        about: a sentence.
        example: a value; `...`: no example.
        expression: makes it from the rows of a page; `None`: the rows have a column of this name.
        only_with: the flag that adds the column; `None`: the column is always there.
    """

    name: str
    type: Any
    about: str | None = None
    example: object = ...
    expression: Expression | None = None
    only_with: str | None = None

    def computed_by(self, expression: Expression) -> "Column":
        """The same column, made from the rows of a page."""
        return replace(self, expression=expression)


def column(model: type[SQLModel], field: str, name: str | None = None) -> Column:
    """The column of a model's field.

    Args:
        model: the model.
        field: the field.
        name: its name in answers, if it is another one.
    """
    info = model.model_fields[field]
    limits = [each for each in info.metadata if not isinstance(each, FieldInfoMetadata)]
    kind: Any = Annotated[info.annotation, *limits] if limits else info.annotation
    examples = info.examples or [...]
    return Column(name or field, kind, info.description, examples[0])


def columns(model: type[SQLModel], *fields: str) -> tuple[Column, ...]:
    """The columns of several fields of a model."""
    return tuple(column(model, field) for field in fields)


def item_model(name: str, about: str, shown: tuple[Column, ...]) -> type[BaseModel]:
    """The model of one item of an answer, for the OpenAPI document. No row becomes one."""
    fields: dict[str, Any] = {}
    for each in shown:
        examples = None if each.example is ... else [each.example]
        default = ... if each.only_with is None else None
        fields[each.name] = (each.type, cast(FieldInfo, Field(default, description=each.about, examples=examples)))
    return cast(type[BaseModel], create_model(name, __doc__=about, **fields))


def list_column(name: str, about: str, item: type[BaseModel], expression: Expression | None = None) -> Column:
    """A column whose cells are lists of JSON objects."""
    return Column(name, cast(Any, list)[item], about, expression=expression)
