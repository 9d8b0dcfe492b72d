"""The revisions of the warehouse's schema, as files in `migrations/versions`.

`python -m library.warehouse.revisions` fails if there is more than one newest revision; `make check` runs it.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from library.contracts.errors import WardflowError

MIGRATIONS = Path(__file__).parent / "migrations"


class SeveralHeads(WardflowError):
    """There are several newest revisions, because two branches each added one."""

    default_advice = 'Run `wardflow migrate --merge "…"`, which writes a revision that follows all of them.'


class NothingToMerge(WardflowError):
    """There is one newest revision."""


def configuration() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # configparser would interpret %
    return config


def newest() -> str:
    """The revision that this program needs.

    Raises:
        SeveralHeads: there is more than one.
    """
    heads = sorted(_revisions().get_heads())
    if len(heads) > 1:
        raise SeveralHeads(f"The schema has {len(heads)} newest revisions: {', '.join(heads)}.")
    return heads[0]


def is_known(revision: str) -> bool:
    """Whether this program has the revision; a warehouse at one that it does not have is newer."""
    return any(each.revision == revision for each in _revisions().walk_revisions())


def new_id() -> str:
    """An id for a new revision: the time in UTC, so that branches choose different ones. It sorts after `0011`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}"


def merge(message: str) -> Path:
    """Write a revision that follows all newest ones.

    Args:
        message: what it merges, in a few words; its file is named after it.

    Raises:
        NothingToMerge: there is one newest revision.
    """
    heads = _revisions().get_heads()
    if len(heads) < 2:
        raise NothingToMerge(f"There is one newest revision ({', '.join(heads)}), so there is nothing to merge.")
    made = cast(Script, command.merge(configuration(), heads, message=message, rev_id=new_id()))
    return Path(made.path)


def _revisions() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


if __name__ == "__main__":
    try:
        newest()
    except SeveralHeads as error:
        sys.exit(f"{error.message} {error.advice}")
