"""Statements of SQLAlchemy as asyncpg takes them: compiled once, with the arguments by position."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from asyncpg import Record
from sqlalchemy import BindParameter, CompoundSelect, Executable, Select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.types import TypeEngine

from library.warehouse.pool import Connection, Pool


class _Compiler(asyncpg.PGCompiler_asyncpg):
    """Writes constants into the text, and gives each parameter the type of its column.

    With a constant as a parameter, Postgres would plan for any value.
    """

    def visit_bindparam(self, bindparam: BindParameter[Any], **options: object) -> str:  # type: ignore[override]  # SQLAlchemy's is not typed
        if not bindparam.required:
            if isinstance(bindparam.value, str) and set(bindparam.value) & {"'", '"', "\\"}:
                raise ValueError("A constant of a statement has a quote or a backslash: make it a parameter.")
            options["literal_binds"] = True
        return cast(str, cast(Any, super()).visit_bindparam(bindparam, **options))

    def render_bind_cast(self, type_: TypeEngine[Any], dbapi_type: object, sqltext: str) -> str:  # noqa: ARG002 - as SQLAlchemy calls it
        return f"{sqltext}::{self.dialect.type_compiler_instance.process(type_)}"


class _Dialect(asyncpg.dialect):
    statement_compiler = _Compiler


_DIALECT = cast(Any, _Dialect)()

type AnySelect = Select[*tuple[Any, ...]]
"""A select, whatever its columns are."""

type AnyRows = AnySelect | CompoundSelect[*tuple[Any, ...]]
"""A select, or a union of several."""


@dataclass(frozen=True)
class CompiledStatement:
    """The text of a statement.

    Attributes:
        sql: the text, with `$1`, `$2`, … for the parameters.
        names: the names of the parameters, in that order.
    """

    sql: str
    names: tuple[str, ...]

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """The values in the order of the parameters."""
        return [values[name] for name in self.names]


@dataclass(frozen=True)
class Statement:
    """A fixed statement of the program. It is compiled when it is used first, since that takes a millisecond.

    Attributes:
        source: see `compiled`.
    """

    source: Executable

    @cached_property
    def compiled(self) -> CompiledStatement:
        """The text."""
        return compiled(self.source)

    async def fetch(
        self, connection: Pool | Connection, /, *, within: float | None = None, **values: object
    ) -> list[Record]:
        """Run it, and return its rows.

        Raises:
            TimeoutError: Postgres does not answer within so many seconds.
        """
        arguments = self.compiled.arguments(values)
        rows: list[Record] = await connection.fetch(self.compiled.sql, *arguments, timeout=within)
        return rows


def compiled(statement: Executable) -> CompiledStatement:
    """Compile a statement of the program. Its parameters are `bindparam`s without a value.

    Other values become part of the text, so they must be constants of the program.

    Raises:
        ValueError: a constant has a quote or a backslash, as a caller's text might.
    """
    made = cast(Any, statement).compile(dialect=_DIALECT)
    return CompiledStatement(str(made), tuple(made.positiontup or ()))
