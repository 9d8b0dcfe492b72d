"""Output of commands: results to standard output, the rest to standard error, errors as a sentence with advice.

Commands print texts from other sources: names of files and tokens, reasons. So strings are printed without any markup,
and a text with a style is a `Text`.
"""

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO
from uuid import UUID

import asyncpg
import typer
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.logging import configure_logging
from config.settings import Settings
from library.contracts.errors import ConfigurationError, WardflowError
from service.cli.exits import Exit, exit_of_error
from service.waiting import report_waits_to

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    ConnectionError,
)
"""Errors of a server that ended during a command. A server that was away at the start has its own errors."""

_UNFOLDED = 180
"""Columns of output to a file or a pipe, where long lines are not folded."""

_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal or the direction of text, and surrogates."""

Json = Annotated[bool, typer.Option("--json", help="For scripts.")]

DONE = Text("✓", "green")
FAILED = Text("✗", "red")


def shown(text: str) -> str:
    """A text that is safe to print: control characters are replaced by their codes."""
    return _UNSHOWABLE.sub(lambda found: written_out(found[0]), text)


def written_out(text: str) -> str:
    r"""Characters by their codes, as Python writes them: `\x1b`, `\u202e`."""
    return text.encode("unicode_escape").decode()


class _Plain(Console):
    """Prints strings unchanged: no markup, no `:names:` of emojis, no control characters."""

    def __init__(self, stream: TextIO, **options: Any) -> None:  # noqa: ANN401 - rich's own
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without these letters must not end the command
        width = None if stream.isatty() else _UNFOLDED
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, width=width, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        return super().render_str(shown(text), **options)


out = _Plain(sys.stdout)
err = _Plain(sys.stderr, stderr=True)


def run[T](main: Callable[[Settings], Awaitable[T]]) -> T:
    """Run a command's coroutine with the settings. An expected error ends the process with its exit code."""
    with errors_as_sentences():
        settings = load_settings()
        configure_logging(settings.log)

        async def call() -> T:
            report_waits_to(say)
            try:
                return await main(settings)
            except asyncio.CancelledError:  # Ctrl-C; a normal exit would wait for threads that wait for a server
                err.print("Interrupted.")
                sys.stdout.flush()
                os._exit(Exit.INTERRUPTED)

        return asyncio.run(call())


def say(text: str) -> None:
    """Print what the command waits for, to standard error."""
    err.print(text, style="yellow")


def load_settings() -> Settings:
    """Load the settings.

    Raises:
        ConfigurationError: a setting is not valid.
    """
    try:
        return Settings()
    except SettingsError as error:
        raise ConfigurationError(
            f"A setting cannot be read: {error}.", advice='Lists and objects are written as JSON: ["a", "b"].'
        ) from error
    except ValidationError as error:
        wrong = "; ".join(_sentence(each) for each in error.errors())
        raise ConfigurationError(f"A setting cannot be used: {wrong}.", advice="See config/settings.py.") from error


def _sentence(error: ErrorDetails) -> str:
    place, message = ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Print an expected error with its advice, and exit with its code."""
    try:
        yield
    except WardflowError as error:
        err.print(error.message, style="red")
        if error.advice:
            err.print(error.advice)
        raise typer.Exit(exit_of_error(error)) from error
    except _GONE as error:
        err.print(f"A server went away while the command ran ({type(error).__name__}).", style="red")
        err.print("Check with `wardflow doctor`, then try again.")
        raise typer.Exit(Exit.SERVER_AWAY) from error
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def print_json(value: object) -> None:
    """Print a result as JSON."""
    typer.echo(json.dumps(value, indent=2, default=_as_json))


def show_token(token_id: UUID, token: str, *, as_json: bool) -> None:
    """Print a new token. It is alone on standard output, so that a script can read it."""
    if as_json:
        print_json({"id": token_id, "token": token})
        return
    err.print(f"Token {token_id}; it is shown only now:")
    out.print(token)


def _as_json(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def table(*headings: str) -> Table:
    """A plain table. A heading that ends with `>` has a right-aligned column."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading.rstrip(">"), justify="right" if heading.endswith(">") else "left", overflow="fold")
    return made


def path_to_type(path: Path) -> str:
    """A path for a shell: quoted, and relative if it is below the working folder."""
    here = Path.cwd()
    is_below = here != Path("/") and path.parent != here and path.is_relative_to(here)
    return shlex.quote(str(path.relative_to(here) if is_below else path))


def local(moment: datetime | None) -> str:
    """A time in the local time zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def count(value: Any) -> str:  # noqa: ANN401 - whatever can be counted
    """A number with commas between thousands."""
    return f"{value:,}" if isinstance(value, int) else str(value)
