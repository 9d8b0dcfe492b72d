"""Files of the stack's folder: private, replaced in one step, with logs of limited size."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

from library.contracts.errors import ConfigurationError

LOG_LIMIT = 10 * 1024 * 1024
"""A log of this size is rotated when its process starts. One older log is kept."""


def make_private_folder(folder: Path) -> Path:
    """Create the folder, or remove the rights of other users from it, and return its absolute path.

    Raises:
        ConfigurationError: the folder belongs to another user.
    """
    folder = folder.expanduser().resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except PermissionError as error:
        raise not_ours(folder) from error
    except OSError as error:
        raise ConfigurationError(
            f"The stack's folder {folder} cannot be created: {error.strerror}.",
            advice="Choose another folder with WARDFLOW_STACK__FOLDER.",
        ) from error
    return folder


def make_empty_folder(folder: Path) -> None:
    """Create an empty folder for a server's temporary files. Files of a killed server are removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


def not_ours(folder: Path) -> ConfigurationError:
    """The error for a folder that belongs to another user, often after `sudo`."""
    return ConfigurationError(
        f"The stack's folder {folder} belongs to another user.",
        advice="Run this as that user, or choose another folder with WARDFLOW_STACK__FOLDER.",
    )


def write_json(file: Path, content: object) -> None:
    """Replace a file (mode 0600) in one step, so that a reader sees either the old or the new content."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mkstemp uses mode 0600
    with os.fdopen(handle, "w") as draft:
        json.dump(content, draft, indent=2)
        draft.write("\n")
    Path(name).replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if the file is missing or has no JSON object."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def open_log(log: Path) -> IO[bytes]:
    """Open a log for appending, and rotate a large one first. Its process must not run yet."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.old"))
    return log.open("ab")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8_192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
