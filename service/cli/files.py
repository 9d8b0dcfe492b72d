"""The files, folders and URLs that a command is called with."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from library.contracts.errors import ConfigurationError


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
