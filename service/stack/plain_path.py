"""Copies Postgres's programs to a path that `initdb` can use, where that is needed.

`initdb` starts `postgres` through a shell, and puts its path between double quotes without escaping it.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from library.contracts.errors import ConfigurationError
from service.stack.identity import Identity, hand_over

_NOT_BETWEEN_QUOTES = re.compile(r'["$`\\\n]')


@contextmanager
def at_plain_path(programs: Sequence[Path], identity: Identity) -> Iterator[Sequence[Path]]:
    """The folders of the programs, or copies of them at a path that is safe in a shell.

    Raises:
        ConfigurationError: there is no folder for temporary files in which programs may run.
    """
    if not _NOT_BETWEEN_QUOTES.search(str(programs[0])):
        yield programs
        return
    with tempfile.TemporaryDirectory(prefix="wardflow-initdb-", dir=_folder_for_programs()) as place:
        copies = [Path(place) / each.name for each in programs]  # in one folder, since they have links to each other
        for folder, copy in zip(programs, copies, strict=True):
            shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
        hand_over(Path(place), identity)
        yield copies


def _folder_for_programs() -> Path:
    for place in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/dev/shm"), Path("/run")):  # noqa: S108 - the copy gets a name of its own there
        usable = place.is_dir() and os.access(place, os.W_OK) and not _NOT_BETWEEN_QUOTES.search(str(place))
        if usable and not os.statvfs(place).f_flag & os.ST_NOEXEC:
            return place
    raise ConfigurationError(
        'Postgres cannot create its data: the path of its programs contains one of " $ ` \\, and there is no folder '
        "for temporary files in which programs may run.",
        advice="Move the checkout to a path without these, or set TMPDIR to a folder where programs may run.",
    )
