"""`wardflow worker` and `wardflow migrate`: what `wardflow up` does for you, one by one, for other places."""

from typing import Annotated

import typer

from config.settings import Settings
from service.bootstrap import migrate as bootstrap
from service.cli.output import out, run
from service.worker.process import run_worker
from workflows.policies import QUEUES

app = typer.Typer(add_completion=False)


@app.command()
def worker(
    queues: Annotated[
        str | None, typer.Option(help=f"Parted by commas; all unless set: {', '.join(QUEUES)}.", show_default=False)
    ] = None,
) -> None:
    """Serve task queues until told to stop; start as many of these as there is work."""

    async def main(settings: Settings) -> None:
        chosen = tuple(queue.strip() for queue in queues.split(",")) if queues else settings.worker.queues
        await run_worker(settings, chosen)

    run(main)


@app.command()
def migrate() -> None:
    """Make everything that must exist, or bring it up to date: schema, role, bucket, namespace, schedules."""
    run(bootstrap)
    out.print("[green]✓[/] Schema, read-only role, bucket, namespace, search attributes and schedules are up to date.")
