"""The folder of a process's temporary files. The next process removes the folder of one that was killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from library.contracts.errors import ConfigurationError

_LOCK = "lock"


@contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """Use one folder for all temporary files of this process, and remove the folders of processes that have ended.

    The files may contain patient data. A process holds a lock on its folder until it ends, in whatever way.

    Raises:
        ConfigurationError: the parent folder belongs to another user, or other users can read it.
    """
    usual = tempfile.gettempdir()
    place = _private(Path(usual) / f"wardflow-{os.getuid()}")
    with (place / _LOCK).open("w") as all_of_them:
        fcntl.flock(all_of_them, fcntl.LOCK_EX)  # or another process could remove a new folder before it has its lock
        for folder in place.iterdir():
            if folder.is_dir():
                _remove_if_abandoned(folder)
        own = Path(tempfile.mkdtemp(dir=place))
        held = (own / _LOCK).open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
    tempfile.tempdir = str(own)
    try:
        yield own
    finally:
        tempfile.tempdir = usual
        shutil.rmtree(own, ignore_errors=True)
        held.close()


def _private(place: Path) -> Path:
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError(
            f"{place} does not belong to this user, or other users can read it.",
            advice="Remove it, or set TMPDIR to another folder.",
        )
    return place


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    except FileNotFoundError:
        shutil.rmtree(folder)  # its process was killed before it made the lock
    except BlockingIOError:
        pass  # its process still runs
