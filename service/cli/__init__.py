"""The command `wardflow`."""

import gc
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

_WHERE = {
    "demo": "demo",
    "up": "stack",
    "down": "stack",
    "doctor": "doctor",
    "ingest": "",
    "import": "",
    "reload": "reload",
    "runs": "runs",
    "streams": "streams",
    "quarantine": "quarantine",
    "origin": "origin",
    "sql": "sql",
    "access": "access",
    "api": "processes",
    "worker": "processes",
    "migrate": "processes",
    "sandbox": "",
    "simulate": "",
}
"""Commands in the order of the help, with their modules in this package; "": the sources have the command."""


class _Commands(TyperGroup):
    """Imports a command when it is called: `down` need not wait for the imports of `worker`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**options)
        names: dict[str, Any] = dict.fromkeys(_WHERE)  # enough to answer a misspelt command with a similar one
        self.commands = names

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer's own context
        return list(dict.fromkeys((*_WHERE, *_groups().GROUPS)))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - typer's own types
        gc.disable()  # imports leave no garbage, and looking for it takes a tenth of their time
        try:
            return self._imported(cmd_name)
        finally:
            gc.enable()

    def _imported(self, cmd_name: str) -> Any:  # noqa: ANN401 - typer's own type
        if where := _WHERE.get(cmd_name):
            app = import_module(f"{__name__}.{where}").app
        elif cmd_name in _groups().GROUPS:
            app = _groups().group(cmd_name)
        else:
            return None
        found = typer.main.get_command(app)
        command = getattr(found, "commands", {}).get(cmd_name, found) if where else found
        command.name = cmd_name
        return command


def _groups() -> Any:  # noqa: ANN401 - a module
    """The groups that sources bring."""
    return import_module(f"{__name__}.groups")


# The trace of an unexpected error is printed in Python's form, since it goes into logs.
app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wardflow {version('wardflow')}")
        raise typer.Exit


@app.callback()
def wardflow(
    _: Annotated[bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which one.")] = False,
) -> None:
    """Hospital data into one warehouse: durable, resumable, exactly once in effect."""


def main() -> None:
    """Run the command."""
    app(prog_name="wardflow")
