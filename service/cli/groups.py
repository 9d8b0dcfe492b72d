"""Groups of the sources' commands: `wardflow ingest`, `import`, `sandbox`, `simulate`, and groups of a source."""

from importlib import import_module

import typer

from service.sources import SOURCES, room_of

SHARED = {
    "ingest": "Bring files in.",
    "import": "Bring in what other systems have.",
    "sandbox": "Run a server with synthetic data, to try things against.",
    "simulate": "Simulate systems that send data to Wardflow.",
}
"""Groups that any source can add commands to, with their help."""

GROUPS = SHARED | {name: text for source in SOURCES for name, text in source.command_groups.items()}


def group(name: str) -> typer.Typer:
    """One group, with the commands of all sources that add to it; other sources' modules are not imported."""
    made = typer.Typer(add_completion=False, no_args_is_help=True, help=GROUPS[name])
    made.callback()(lambda: None)  # a group of one command stays a group
    for source in SOURCES:
        if module := source.commands.get(name):
            made.registered_commands += import_module(f"{room_of(source)}.{module}").app.registered_commands
    return made
