"""`wardflow origin`."""

import shutil
import tempfile
from pathlib import Path
from typing import IO, Annotated

import typer

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.contracts.origins import DatasetUnknown, NotAKey, Origin
from library.warehouse.origins import RowKey, row_key
from service.cli.output import Json, count, local, out, print_json, run
from service.cli.pools import open_warehouse
from service.origins import Origins
from service.resources import lake_storage, object_store
from service.sources import DATASETS, dataset_called

app = typer.Typer(add_completion=False)

_STANDARD_OUTPUT = Path("-")


@app.command()
def origin(
    dataset: Annotated[str, typer.Argument(help=f"One of {', '.join(DATASETS)}.", show_default=False)],
    key: Annotated[
        list[str], typer.Argument(help="The values of its primary key, in the key's order.", show_default=False)
    ],
    save_to: Annotated[
        Path | None,
        typer.Option("--bytes", help="Save the bytes that the row was read from; -: print them.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show where a row is from. If it concerns a patient, this is written to the audit."""
    asked = _asked_key(dataset, key)

    async def main(settings: Settings) -> Origin:
        async with open_warehouse(settings) as pool:
            origins = Origins(pool, object_store(settings), lake_storage(settings), Audit(pool))
            try:
                found = await origins.find(asked, LOCAL, for_bytes=save_to is not None)
                if save_to is not None:
                    async for chunk in origins.content(found):
                        content.write(chunk)
            finally:
                origins.store.close()
            return found

    with tempfile.TemporaryFile() as content:  # only complete bytes are saved
        found = run(main)
        if save_to is not None:
            _save(content, save_to)
    if save_to == _STANDARD_OUTPUT:
        return
    if as_json:
        print_json(found)
        return
    for name, value in _lines(found):
        out.print(f"{name:<9}{value}")


def _asked_key(dataset: str, texts: list[str]) -> RowKey:
    try:
        return row_key(dataset_called(dataset)[1], texts)
    except (DatasetUnknown, NotAKey) as error:
        raise typer.BadParameter(f"{error.message} {error.advice}") from None


def _save(content: IO[bytes], path: Path) -> None:
    content.seek(0)
    if path == _STANDARD_OUTPUT:
        shutil.copyfileobj(content, typer.get_binary_stream("stdout"))
        return
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}.") from None


def _lines(found: Origin) -> list[tuple[str, str]]:
    load = found.load
    lines = [
        ("row", f"{found.dataset}, {', '.join(f'{name} {value}' for name, value in found.key.items())}"),
        ("load", f"{load.id}, committed {local(load.committed_at) or 'at an unknown time'}"),
        ("reader", f"{load.source}, version {load.reader_version}"),
    ]
    if found.run is not None:
        lines.append(("run", f"{found.run.id}, {found.run.subject}" if found.run.subject else found.run.id))
    if found.object is not None:
        kept = f"; the store keeps them with {found.object.stored_compression}" * bool(found.object.stored_compression)
        lines += [
            ("object", found.object.key),
            ("content", f"{count(found.object.content_size)} bytes{kept}"),
            ("sha256", f"{found.object.content_sha256} of these bytes"),
        ]
    if found.record is not None:
        lake = found.record.lake
        lines += [
            ("record", f"{found.record.topic}, partition {found.record.partition}, offset {found.record.offset}"),
            (
                "lake",
                f"{lake.table}, incarnation {lake.incarnation or 'unknown'}" if lake.archived else "not yet there",
            ),
        ]
    return lines
