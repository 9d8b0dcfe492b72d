"""Fields of models with a description and an example, which answers and the database's comments show."""

from typing import Any, cast

from sqlalchemy import Table
from sqlmodel import Field, SQLModel


def field(about: str, example: object = ..., **options: Any) -> Any:  # noqa: ANN401 - as `Field` itself
    """A field of a model.

    Args:
        about: a sentence, with the unit.
        example: a value; `...`: no example.
        options: the options of SQLModel's `Field`.
    """
    extra = {} if example is ... else {"examples": [example]}
    return Field(description=about, schema_extra=extra, **options)


def like(model: type[SQLModel], name: str, **options: Any) -> Any:  # noqa: ANN401 - as `Field` itself
    """A field of a view with the description, the example and the SQL type of a model's field."""
    info = model.model_fields[name]
    options.setdefault("sa_type", table_of(model).c[name].type)
    return field(info.description or "", (info.examples or [...])[0], **options)


def table_of(model: type[SQLModel]) -> Table:
    """The SQLAlchemy table of a model."""
    return cast(Table, cast(Any, model).__table__)
