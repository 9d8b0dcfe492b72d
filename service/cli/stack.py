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
from service.stack.detach import Say, StackFailed, end_running, ensure_running
from service.stack.part import Progress

app = typer.Typer(add_completion=False)

MARKS = {"moved": Text("!", "yellow"), "healthy": DONE, "done": DONE, "running": DONE, "died": FAILED}


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all is healthy; it runs on in the background.")
    ] = False,
) -> None:
    """Run the embedded stack: Postgres, Temporal, S3, Kafka and what sources bring; then bootstrap, worker and API."""
    with errors_as_sentences():
        if detach:
            with console.status("Starting the stack"):
                start_in_background(load_settings(), say=console.print)
            return
        with console.status("Starting the stack") as status:
            _run(load_settings(), status)


def start_in_background(settings: Settings, say: Say) -> Settings:
    """Start the stack, unless it runs; return the settings with its addresses.

    Raises:
        typer.Exit: it did not start, and its own last lines have said why and what to do.
        StackFailed: it did not start, and had no chance to say why.
    """
    try:
        return ensure_running(settings, say=say)
    except StackFailed as error:
        if error.told:
            raise typer.Exit(1) from error
        raise


def _run(settings: Settings, status: Status) -> None:
    try:
        asyncio.run(
            # Imported when they are needed: `up --detach` and `down` stay quick.
            import_module("service.stack.runner").run_stack(
                settings,
                on_progress=_Shown(status),
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
        end_running(load_settings(), say=console.print)


class SystemRefused(WardflowError):
    """The disk is full or read-only, or a file belongs to somebody else."""

    default_advice = "Make room on the disk, or give this user the right to the file. Then start again."


class UnexpectedError(WardflowError):
    """An error that no part of the stack foresees."""

    default_advice = "Start again. If it comes back, report it with the lines above: it is a fault of Wardflow."


class _Shown:
    """Shows progress: a line for each thing that has happened, and on a terminal what is still awaited."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._awaited: list[str] = []

    def __call__(self, progress: Progress) -> None:
        if progress.state == "starting":
            self._awaited.append(progress.subject)
        elif progress.state not in ("fetching", "moved") and progress.subject in self._awaited:
            self._awaited.remove(progress.subject)
        self._show_what_is_awaited(progress)
        if progress.state != "starting" or not console.is_terminal:
            mark = MARKS.get(progress.state, "·")
            console.print(mark, f"{progress.subject}: {progress.state} {progress.detail}")

    def _show_what_is_awaited(self, progress: Progress) -> None:
        match progress:
            case Progress("stack", "running" | "ended"):
                self._status.stop()
            case Progress("stack", "ending"):
                self._awaited.clear()
                self._status.update("Ending the stack")
                self._status.start()
            case _ if self._awaited:
                self._status.update(f"Starting {', '.join(self._awaited)}")
