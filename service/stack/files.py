"""Files of the stack's folder: private, written whole or not at all, logs that do not grow for ever."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

from library.contracts.errors import ConfigurationError

LOG_LIMIT = 10 * 1024 * 1024
"""Bytes from which on a log is set aside when its process starts; one older log is kept."""


def make_private_folder(folder: Path) -> Path:
    """Make the folder, or take others' rights off the one that is there; return its absolute path.

    Raises:
        ConfigurationError: it belongs to another user.
    """
    folder = folder.expanduser().resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except PermissionError as error:
        raise not_ours(folder) from error
    except OSError as error:
        raise ConfigurationError(
            f"The stack's folder {folder} cannot be made: {error.strerror}.",
            advice="Choose another folder by WARDFLOW_STACK__FOLDER.",
        ) from error
    return folder


def make_empty_folder(folder: Path) -> None:
    """Make a folder for a server's temporary files, without what a killed server left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


def not_ours(folder: Path) -> ConfigurationError:
    """What to say of a folder that another user has made, often by `sudo`."""
    return ConfigurationError(
        f"The stack's folder {folder} belongs to another user.",
        advice="Run this as that user, or choose another folder by WARDFLOW_STACK__FOLDER.",
    )


def write_json(file: Path, content: object) -> None:
    """Write a file (mode 0600) so that whoever reads at the same time sees the old content or the new, never a half."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # made with mode 0600
    with os.fdopen(handle, "w") as draft:
        json.dump(content, draft, indent=2)
        draft.write("\n")
    Path(name).replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """The file's object; empty when the file is not there, or is none of ours."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def open_log(log: Path) -> IO[bytes]:
    """Open a log for appending; a large one is set aside first. Nobody has it open: its process is yet to start."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.old"))
    return log.open("ab")


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8_192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
