"""`wardflow up` and `wardflow down`."""

import asyncio
import traceback
from importlib import import_module
from typing import Annotated

import typer
from rich.status import Status
from rich.text import Text

from config.settings import Settings
from library.contracts.errors import WardflowError
from service.cli.output import DONE, FAILED, errors_as_sentences, load_settings
from service.cli.output import out as console
from service.stack.detach import StackFailed, WriteLine, end_running, ensure_running
from service.stack.part import StackEvent

app = typer.Typer(add_completion=False)

MARKS = {"moved": Text("!", "yellow"), "healthy": DONE, "done": DONE, "running": DONE, "died": FAILED}


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all parts are healthy. The stack then runs in the background.")
    ] = False,
) -> None:
    """Run the embedded stack: Postgres, Temporal, S3, Kafka and what sources bring; then bootstrap, worker and API."""
    with errors_as_sentences():
        if detach:
            with console.status("Starting the stack"):
                start_in_background(load_settings(), write=console.print)
            return
        with console.status("Starting the stack") as status:
            _run(load_settings(), status)


def start_in_background(settings: Settings, write: WriteLine) -> Settings:
    """Start the stack unless it runs, and return the settings with its addresses.

    Raises:
        typer.Exit: it did not start, and the reason and advice were printed.
        StackFailed: it did not start, and the reason was not printed.
    """
    try:
        return ensure_running(settings, report=write)
    except StackFailed as error:
        if error.already_reported:
            raise typer.Exit(1) from error
        raise


def _run(settings: Settings, status: Status) -> None:
    try:
        asyncio.run(
            # Imported when they are needed: `up --detach` and `down` stay quick.
            import_module("service.stack.runner").run_stack(
                settings,
                on_progress=_ProgressLines(status),
                bootstrap=lambda running: import_module("service.bootstrap").migrate_embedded(running),
            )
        )
    except WardflowError:
        raise
    except OSError as error:
        raise SystemRefused(f"The stack has ended, since the system refused a file: {error}") from error
    except Exception as error:
        traceback.print_exc()
        raise UnexpectedError(f"The stack has ended: {type(error).__name__}: {error}") from error


@app.command()
def down() -> None:
    """End the embedded stack."""
    with errors_as_sentences(), console.status("Ending the stack"):
        end_running(load_settings(), report=console.print)


class SystemRefused(WardflowError):
    """The disk is full or read-only, or a file belongs to another user."""

    default_advice = "Make room on the disk, or give this user permission for the file. Then start again."


class UnexpectedError(WardflowError):
    """An unexpected error of the stack."""

    default_advice = "Start again. If it happens again, report it with the lines above: it is a bug of Wardflow."


class _ProgressLines:
    """Prints a line for each event, and on a terminal also the parts that are still starting."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._awaited: list[str] = []

    def __call__(self, event: StackEvent) -> None:
        if event.state == "starting":
            self._awaited.append(event.subject)
        elif event.state not in ("fetching", "moved") and event.subject in self._awaited:
            self._awaited.remove(event.subject)
        self._update_status(event)
        if event.state != "starting" or not console.is_terminal:
            mark = MARKS.get(event.state, "·")
            console.print(mark, f"{event.subject}: {event.state} {event.detail}")

    def _update_status(self, event: StackEvent) -> None:
        match event:
            case StackEvent("stack", "running" | "ended"):
                self._status.stop()
            case StackEvent("stack", "ending"):
                self._awaited.clear()
                self._status.update("Ending the stack")
                self._status.start()
            case _ if self._awaited:
                self._status.update(f"Starting {', '.join(self._awaited)}")
