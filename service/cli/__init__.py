"""The command `wardflow`."""

import typer

from service.cli import demo, ingest, processes, runs, sql, stack

# A trace of an unexpected error is printed as Python prints it: it goes into logs as it is.
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Hospital data into one warehouse: durable, resumable, exactly once in effect.",
)
for part in (stack, demo, processes, sql):
    app.add_typer(part.app)
app.add_typer(ingest.app, name="ingest")
app.add_typer(runs.app, name="runs")


def main() -> None:
    """Run the command."""
    app()
