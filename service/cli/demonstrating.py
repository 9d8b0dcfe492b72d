"""What a source's part of the demo is given, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

type LookAt = Mapping[str, Sequence[str]]
"""What to look at after the demo: lines to type, by title; `SQL` and `REST` are titles that sources share."""


@dataclass(frozen=True)
class Typed:
    """What people type, as it has to be typed from where they are.

    Attributes:
        wardflow: the command.
        api: URL of the API.
        token: the file with the administrator's token.
    """

    wardflow: str
    api: str
    token: str

    @property
    def curl(self) -> str:
        """The beginning of a request."""
        return f'curl -H "Authorization: Bearer $(cat {self.token})"'


@dataclass(frozen=True)
class Demonstrated:
    """What came of a source's part.

    Attributes:
        agrees: whether all that was loaded is as its source says.
        run: the id of a run to look at, if there is one.
    """

    agrees: bool
    run: str = ""
