"""`wardflow sandbox fhir`."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from config.logging import configure_logging
from library.contracts.errors import ConfigurationError
from service.cli.output import errors_as_sentences, load_settings
from service.sources.fhir.sandbox.app import Options
from service.sources.fhir.sandbox.faults import Faults
from service.sources.fhir.sandbox.process import serve

app = typer.Typer()


@app.command()
def fhir(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="NDJSON, Bundles, or folders of them; the shipped sample unless named.", show_default=False
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one; the URL is printed.")] = 0,
    base_path: Annotated[str, typer.Option(help="Where FHIR is served.")] = Options.base_path,
    page_lifetime: Annotated[float, typer.Option(help="Seconds that page links live.")] = Options.page_lifetime,
    reuse: Annotated[
        float, typer.Option(help="Seconds that a repeated search is answered from what it found before.")
    ] = Options.reuse,
    token: Annotated[str, typer.Option(help="A bearer token that callers need.")] = "",
    fault: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, such as `unavailable=0.1` or `latency=0.5`; the sandbox's faults.py has all."),
    ] = None,
) -> None:
    """Serve files as a FHIR R4 search server, until SIGTERM or SIGINT; changes are kept in memory only."""
    with errors_as_sentences():
        configure_logging(load_settings().log)
        options = Options(base_path=base_path.rstrip("/"), page_lifetime=page_lifetime, reuse=reuse, token=token)
        serve(paths or [], host, port, options, _faults(fault or []))


def _faults(asked: list[str]) -> Faults:
    given = dict(each.partition("=")[::2] for each in asked)
    try:
        return msgspec.convert(given, Faults, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"A fault cannot be played: {error}.",
            advice="service/sources/fhir/sandbox/faults.py has all names and values.",
        ) from error
