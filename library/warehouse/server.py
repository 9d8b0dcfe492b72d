"""The version of PostgreSQL that the warehouse needs."""

import re

from library.contracts.errors import WardflowError

OLDEST = 18
"""Major version. The stack installs it, and the tests use no older version."""


class PostgresTooOld(WardflowError):
    """The server of the warehouse is older than Wardflow needs."""

    default_advice = f"Upgrade the server to PostgreSQL {OLDEST} or newer, or name another one."


def check_version(version: str) -> None:
    """Check the version of a server, in the form of `SHOW server_version`: `18.1`, `19beta1`, `17.5 (Debian 17.5-1)`.

    Raises:
        PostgresTooOld: it is older than `OLDEST`.
    """
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) < OLDEST:
        raise PostgresTooOld(f"PostgreSQL {version} is too old: Wardflow needs version {OLDEST} or newer.")
