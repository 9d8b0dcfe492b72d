"""Temporary files of a long-lived process: what it had at hand when it was killed goes when the next one starts."""

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
    """Have all temporary files of this process in one folder, and remove the folders of processes that are dead.

    Such files can hold patients. A process holds its folder's lock for as long as it lives, however it ends.

    Raises:
        ConfigurationError: the folder of all of them is somebody else's, or open to others.
    """
    usual = tempfile.gettempdir()
    place = _private(Path(usual) / f"wardflow-{os.getuid()}")
    with (place / _LOCK).open("w") as all_of_them:
        fcntl.flock(all_of_them, fcntl.LOCK_EX)  # so that nobody removes a folder that has no lock yet
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
            f"{place} is not this user's own folder, or is open to others.",
            advice="Remove it, or set TMPDIR to another folder.",
        )
    return place


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    except FileNotFoundError:
        shutil.rmtree(folder)  # its process was killed before it had a lock
    except BlockingIOError:
        pass  # its process lives
