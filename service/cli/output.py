"""How commands speak: results to standard output, the rest to standard error; errors as a sentence and its advice."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import asyncpg
import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError
from rich.console import Console
from rich.table import Table

from config.logging import configure_logging
from config.settings import Settings
from library.contracts.errors import ConfigurationError, WardflowError

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    ConnectionError,
)
"""A server that ends, starts, or left in the middle of a command; one that was never there is told by its opener."""

_UNFOLDED = 180
"""Columns where nobody's terminal says how many there are: a file or a pipe takes whole lines."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _UNFOLDED)
err = Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else _UNFOLDED)


def run[T](main: Callable[[Settings], Awaitable[T]]) -> T:
    """Run a command's coroutine with the settings; an expected error ends it with exit code 1."""
    with errors_as_sentences():
        settings = load_settings()
        configure_logging(settings.log)

        async def call() -> T:
            return await main(settings)

        return asyncio.run(call())


def load_settings() -> Settings:
    """The settings.

    Raises:
        ConfigurationError: one of them is not what it can be.
    """
    try:
        return Settings()
    except SettingsError as error:
        raise ConfigurationError(
            f"A setting cannot be read: {error}.", advice='Lists and objects are written as JSON: ["a", "b"].'
        ) from error
    except ValidationError as error:
        wrong = "; ".join(_told(each) for each in error.errors())
        raise ConfigurationError(f"A setting cannot be used: {wrong}.", advice="See config/settings.py.") from error


def _told(error: ErrorDetails) -> str:
    place, message = ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Show an expected error as its sentence and its advice, and exit with 1."""
    try:
        yield
    except WardflowError as error:
        err.print(error.message, markup=False, style="red")
        err.print(error.advice, markup=False)
        raise typer.Exit(1) from error
    except _GONE as error:
        err.print(f"A server went away while the command was at work ({type(error).__name__}).", style="red")
        err.print("Look with `wardflow doctor`, then try again.")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def print_json(value: object) -> None:
    """A result for a script."""
    typer.echo(json.dumps(value, indent=2, default=str))


def table(*headings: str) -> Table:
    """A plain table; a heading that ends in `>` stands over a right-aligned column."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading.rstrip(">"), justify="right" if heading.endswith(">") else "left", overflow="fold")
    return made


def local(moment: datetime | None) -> str:
    """A time as the reader's clock shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def count(value: Any) -> str:  # noqa: ANN401 - whatever can be counted
    """A number with its thousands parted."""
    return f"{value:,}" if isinstance(value, int) else str(value)
