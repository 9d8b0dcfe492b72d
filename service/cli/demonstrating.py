"""Input and result of a source's part of the demo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

type LookAt = Mapping[str, Sequence[str]]
"""Lines to type after the demo, by title. Sources share the titles `SQL` and `REST`."""


@dataclass(frozen=True)
class Typed:
    """Parts of the lines to type, for the present folder.

    Attributes:
        wardflow: the command.
        api: the URL of the API.
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
