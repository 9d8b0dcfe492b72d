"""How commands end, as numbers for scripts."""

from dataclasses import dataclass

import pytest

from library.contracts.errors import ConfigurationError, HostNotResolved, StoreUnavailable, WardflowError
from library.contracts.loads import LoadOutcome
from service.cli.exits import Exit, exit_of_all, exit_of_error


@dataclass(frozen=True)
class File:
    completed: bool = True
    result: str = "loaded"
    server_away: bool = False


LOADED, PARTLY = File(), File(result=LoadOutcome.INCOMPLETE)
REFUSED, UNSENT = File(completed=False, result=""), File(completed=False, result="", server_away=True)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ([LOADED, LOADED], Exit.DONE),
        ([LOADED, REFUSED], Exit.PARTLY_LOADED),
        ([LOADED, UNSENT], Exit.PARTLY_LOADED),
        ([LOADED, PARTLY], Exit.PARTLY_LOADED),
        ([PARTLY], Exit.PARTLY_LOADED),
        ([REFUSED], Exit.FAILED),
        ([REFUSED, UNSENT], Exit.FAILED),
        ([UNSENT, UNSENT], Exit.SERVER_AWAY),
    ],
)
def test_a_command_that_loads_several_things_says_how_many_of_them_are_there(ended: list[File], code: Exit) -> None:
    assert exit_of_all(ended) is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("It is wrong."), 1),
        (StoreUnavailable("It does not answer."), 4),
        (HostNotResolved("Nobody knows it."), 4),
    ],
)
def test_a_server_that_is_away_is_another_code_than_a_mistake(error: WardflowError, code: int) -> None:
    assert exit_of_error(error) == code
