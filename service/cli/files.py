"""The files, folders and URLs that a command is called with."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from library.contracts.errors import ConfigurationError
from library.contracts.objects import ObjectRef
from service.cli.following import Bar, RunToStart
from service.starts import RunHandle, Starter


def files_in(paths: Sequence[str], suffixes: tuple[str, ...]) -> Iterator[Path | str]:
    """Yield URLs, files, and the files in folders and subfolders. Excel's lock files are skipped.

    Args:
        paths: the paths and URLs as they were typed.
        suffixes: the suffixes, in lower case, of the files to take from a folder.

    Raises:
        ConfigurationError: a path does not exist, or a folder holds no such file.
    """
    for text in paths:
        path = Path(text)
        if text.startswith(("https://", "http://")):
            yield text
        elif path.is_file():
            yield path
        elif not path.is_dir():
            raise ConfigurationError(f"There is no file or folder {path}.", advice="Check the path.")
        else:
            found = sorted(
                file
                for file in path.rglob("*")
                if file.is_file() and file.name.lower().endswith(suffixes) and not file.name.startswith("~$")
            )
            if not found:
                kinds = " or ".join(suffixes)
                raise ConfigurationError(f"The folder {path} holds no {kinds} file.", advice="Check the path.")
            yield from found


def run_to_start(
    source: Path | str,
    *,
    land: Callable[..., Coroutine[Any, Any, ObjectRef]],
    start_file: Callable[..., Awaitable[RunHandle]],
    start_url: Callable[[Starter, str], Awaitable[RunHandle]],
    reload: bool,
) -> RunToStart:
    """Return the run that brings in a file, or what a URL leads to.

    Args:
        source: the file's path, or the URL.
        land: stores a file; it takes the starter, the path and `progress`.
        start_file: starts the run of a landed file; it takes the starter, the object, `subject` and `reload`.
        start_url: starts the run of a URL.
        reload: load the file once more although the ledger has it; a URL cannot be loaded once more.
    """

    async def start(starter: Starter, bar: Bar) -> RunHandle:
        if isinstance(source, Path):
            landed = await bar.land(source, partial(land, starter))
            return await start_file(starter, landed, subject=source.name, reload=reload)
        if reload:
            raise ConfigurationError(
                "--reload needs a file: the content of a URL is known only after the download.",
                advice="Download the file, and give its path.",
            )
        return await start_url(starter, source)

    if isinstance(source, Path):
        return RunToStart(source.name, start)
    address = urlsplit(source)
    return RunToStart(address.path.rsplit("/", 1)[-1], start, lambda _: f"the host {address.hostname}")
