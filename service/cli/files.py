"""What people name to be brought in: files, folders of them, URLs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from library.contracts.errors import ConfigurationError


def files_in(paths: Sequence[str], suffixes: tuple[str, ...]) -> Iterator[Path | str]:
    """URLs and files themselves, and the files in folders, whatever lies how deep; lock files of Excel are none.

    Args:
        paths: as people typed them.
        suffixes: in lower case, of the files that count in a folder.

    Raises:
        ConfigurationError: a path does not exist, or a folder holds no such file.
    """
    for given in paths:
        path = Path(given)
        if given.startswith(("https://", "http://")):
            yield given
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
