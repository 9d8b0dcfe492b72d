"""A question to the warehouse, declared once: its parameters, columns, order and statement come from one place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from pydantic import BaseModel
from sqlalchemy import FromClause

from library.warehouse.queries.columns import Column, item_model
from library.warehouse.queries.filters import ActiveFilters, Argument, Filter, Parameter
from library.warehouse.queries.statement import AnyRows


@dataclass(frozen=True)
class Sort:
    """What a caller can sort by, ascending or descending. The columns of the question's order follow.

    Attributes:
        choices: the names to choose from; the first one is the default.
        columns: the column of the rows for each choice that has another name than its column.
        about: a sentence. It says where rows without a value are.
    """

    choices: type[StrEnum]
    columns: Mapping[str, str] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Question:
    """A question whose answer is a list of rows.

    Attributes:
        name: its name for clients: `beds.occupancy`.
        about: a sentence.
        scope: the scope that the caller must have.
        rows: makes the select whose rows come in pages. It has the columns of the order, and those of the answer that
            have no expression.
        columns: the columns of the answer.
        item: one row of the answer as a pydantic model, or the name of the model that is made of the columns.
        each: what one row is.
        order: columns of the rows that together are unique and never null. Pages are cut by them.
        descending: the direction of the order, unless the caller chooses it.
        sort: what the caller can sort by.
        parameters: filters and flags.
        joins: joins tables to the rows of one page. Earlier, the join would run over all rows.
        for_the_reader: whether the read-only role of the database may ask it.
    """

    name: str
    about: str
    scope: str
    rows: Callable[[ActiveFilters], AnyRows]
    columns: tuple[Column, ...]
    item: str | type[BaseModel]
    each: str = ""
    order: tuple[str, ...]
    descending: bool = False
    sort: Sort | None = None
    parameters: tuple[Parameter, ...] = ()
    joins: Callable[[FromClause], FromClause] | None = None
    for_the_reader: bool = True

    def __post_init__(self) -> None:
        for declared in (self.parameters, self.columns):
            names = [each.name for each in declared]
            if len({*names}) < len(names):
                raise ValueError(f"{self.name}: of {', '.join(names)}, two have the same name")

    @cached_property
    def item_model(self) -> type[BaseModel]:
        """One row of the answer, for the OpenAPI document. No row becomes one."""
        return item_model(self.item, self.each, self.columns) if isinstance(self.item, str) else self.item

    @cached_property
    def by_name(self) -> Mapping[str, Parameter]:
        """The parameters by their names."""
        return {each.name: each for each in self.parameters}

    def ask(self, *, sort: str | None = None, descending: bool | None = None, **values: object) -> "BoundQuestion":
        """The question with values for some of its parameters. `None` and `False` mean that one is not given.

        Raises:
            TypeError: the question has no such parameter, or needs one that is not given.
        """
        if unknown := values.keys() - self.by_name.keys():
            raise TypeError(f"{self.name} has no parameter {', '.join(sorted(unknown))}")
        given: dict[str, object] = {}
        for name, value in values.items():
            parameter = self.by_name[name]
            if value is not None and value is not False:
                given[name] = parameter.convert(value) if isinstance(parameter, Filter) else value
        if missing := [each.name for each in self.parameters if isinstance(each, Argument) and each.name not in given]:
            raise TypeError(f"{self.name} needs {', '.join(missing)}")
        return BoundQuestion(self, given, self._order(sort), self.descending if descending is None else descending)

    def with_examples(self, **examples: object) -> "Question":
        """The same question with other examples for some columns."""
        columns = (replace(each, example=examples.get(each.name, each.example)) for each in self.columns)
        return replace(self, columns=tuple(columns))

    def _order(self, sort: str | None) -> tuple[str, ...]:
        if sort is None or self.sort is None:
            return self.order
        first = self.sort.columns.get(sort, sort)
        return (first, *(name for name in self.order if name != first))


@dataclass(frozen=True)
class BoundQuestion:
    """A question with values for its parameters.

    Attributes:
        values: by parameter, the value for Postgres; of the parameters that are given.
        order: the columns of the order.
        descending: their direction.
    """

    question: Question
    values: Mapping[str, object]
    order: tuple[str, ...]
    descending: bool
