"""The parameters of a question, and which of them are given."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import BindParameter, ColumnElement, bindparam
from sqlalchemy.orm import Mapped, QueryableAttribute
from sqlalchemy.types import TypeEngine

ROWS = "rows"
"""Where most conditions belong: to the rows that pages are cut from."""


class Audited(StrEnum):
    """What the audit keeps of a parameter, if the question is about patients."""

    VALUE = "value"
    """Its value, which names no patient."""
    NAME = "name"
    """Only that it was given."""
    PSEUDONYM = "pseudonym"
    """A pseudonym of its value, so that all who read one patient can be found."""


VALUE, NAME, PSEUDONYM = Audited


@dataclass(frozen=True)
class Parameter:
    """A parameter of a question, as REST and clients show it. If it is no filter, the question's select uses it.

    Attributes:
        name: its name; it may be a keyword of Python (`from`).
        type: its type, with pydantic's constraints. A parameter that is not given is `None`.
        audited: what the audit keeps of it.
        about: a sentence.
        example: a value.
        internal: only the program gives it; routes and clients do not show it.
    """

    name: str
    type: Any
    audited: Audited
    about: str
    example: object = None
    internal: bool = False


@dataclass(frozen=True, kw_only=True)
class Argument(Parameter):
    """A parameter that must be given."""


@dataclass(frozen=True, kw_only=True)
class Flag(Parameter):
    """A parameter that is `true` or `false`. It selects no rows, but may add columns (`Column.only_with`)."""


@dataclass(frozen=True, kw_only=True)
class Filter(Parameter):
    """A parameter that selects rows.

    Attributes:
        condition: makes the condition. The parameter gets the type of the column that it is compared with.
        convert: makes the value for Postgres from the parameter's value.
        at: the part of the statement that the condition belongs to, by a name that the question chooses.
        also_at: conditions for other parts of the statement.
    """

    condition: Callable[[BindParameter[Any]], ColumnElement[bool]]
    convert: Callable[[Any], object] = lambda value: value
    at: str = ROWS
    also_at: Mapping[str, Callable[[BindParameter[Any]], ColumnElement[bool]]] = field(default_factory=dict)


type Comparison = Callable[[Any, Any], Any]


def equal(name: str, kind: object, audited: Audited, column: Mapped[Any], about: str, *, at: str = ROWS) -> Filter:
    """A filter by the value of a field. The field's example is that of the parameter."""
    return _compared(name, kind, audited, column, about, operator.eq, at)


def at_least(name: str, kind: object, audited: Audited, column: Mapped[Any], about: str, *, at: str = ROWS) -> Filter:
    """A filter by the lowest value of a field, or the earliest."""
    return _compared(name, kind, audited, column, about, operator.ge, at)


def at_most(name: str, kind: object, audited: Audited, column: Mapped[Any], about: str, *, at: str = ROWS) -> Filter:
    """A filter by the highest value of a field, or the latest."""
    return _compared(name, kind, audited, column, about, operator.le, at)


def _compared(
    name: str, kind: object, audited: Audited, column: Mapped[Any], about: str, compare: Comparison, at: str
) -> Filter:
    attribute = cast(QueryableAttribute[Any], column)
    example = (attribute.class_.model_fields[attribute.key].examples or [None])[0]
    return Filter(name, kind, audited, about, example, condition=lambda value: compare(column, value), at=at)


class ActiveFilters:
    """Which parameters of a question are given.

    Attributes:
        descending: whether the rows are asked for in descending order.
    """

    def __init__(self, parameters: Iterable[Parameter], names: frozenset[str], *, descending: bool) -> None:
        self._filters = [each for each in parameters if each.name in names and isinstance(each, Filter)]
        self._names = names
        self.descending = descending

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def conditions(self, at: str = ROWS) -> list[ColumnElement[bool]]:
        """The conditions of the filters that are given.

        One that is not given has no condition: `$1 IS NULL OR …` would keep Postgres from using an index.
        """
        own = [each.condition(bindparam(each.name)) for each in self._filters if each.at == at]
        return own + [each.also_at[at](bindparam(each.name)) for each in self._filters if at in each.also_at]

    def value(self, name: str, kind: TypeEngine[Any]) -> BindParameter[Any]:
        """The value of a parameter that is no filter, as an SQL expression of this type."""
        return bindparam(name, type_=kind)
