"""`wardflow worker`, `api` and `migrate`: the steps of `wardflow up` as single commands, for other deployments."""

from importlib import import_module
from typing import Annotated

import typer

from config.logging import configure_logging
from config.settings import Settings
from library.warehouse.revisions import merge as merge_revisions
from library.warehouse.schema import write_revision
from service.bootstrap import SCHEMAS
from service.bootstrap import migrate as bootstrap
from service.cli.output import DONE, errors_as_sentences, load_settings, out, run
from service.resources import warehouse_dsn
from service.temporary import own_temporary_folder
from service.waiting import log_wait, report_waits_to
from service.worker.process import run_worker
from workflows.policies import QUEUES

app = typer.Typer(add_completion=False)


@app.command()
def worker(
    queues: Annotated[
        str | None, typer.Option(help=f"Separated by commas; default: {', '.join(QUEUES)}.", show_default=False)
    ] = None,
) -> None:
    """Serve task queues until a signal comes. Several workers can run at the same time."""

    async def main(settings: Settings) -> None:
        report_waits_to(log_wait)
        chosen = tuple(queue.strip() for queue in queues.split(",")) if queues else settings.worker.queues
        await run_worker(settings, chosen)

    with errors_as_sentences(), own_temporary_folder():
        run(main)


@app.command()
def api() -> None:
    """Serve the REST API. Several APIs can run at the same time."""
    with errors_as_sentences(), own_temporary_folder():
        settings = load_settings()
        configure_logging(settings.log)
        import_module("service.api.process").serve(settings)


@app.command()
def migrate(
    write: Annotated[
        str | None,
        typer.Option(help="For developers: write a revision with the differences between models and schema."),
    ] = None,
    merge: Annotated[
        str | None,
        typer.Option(help="For developers: write a revision that follows all newest ones, and change nothing else."),
    ] = None,
) -> None:
    """Create or update everything that must exist: schema, role, bucket, topics, namespace, schedules."""
    if merge:
        with errors_as_sentences():
            out.print(f"Written: {merge_revisions(merge)}")
        return
    run(bootstrap)
    if write:
        out.print(f"Written: {run(lambda settings: write_revision(warehouse_dsn(settings), SCHEMAS, write))}")
        return
    out.print(
        DONE, "Schema, read-only role, bucket, topics, namespace, search attributes and schedules are up to date."
    )
