"""An older server is refused with a sentence, by `wardflow migrate` and by `wardflow doctor`."""

import pytest

from library.warehouse.server import PostgresTooOld, check_version
from service.stack.doctor import too_old


@pytest.mark.parametrize("version", ["9.6.24", "17.5", "17.5 (Debian 17.5-1.pgdg120+1)", "17devel"])
def test_an_older_server_is_refused(version: str) -> None:
    with pytest.raises(PostgresTooOld) as refused:
        check_version(version)
    assert refused.value.message == f"PostgreSQL {version} is too old: Wardflow needs version 18 or newer."
    problem = too_old(version)
    assert problem is not None
    assert (problem.message, problem.advice) == (refused.value.message, refused.value.advice)


@pytest.mark.parametrize("version", ["18.0", "18.6 (Ubuntu 18.6-1)", "19beta1", "20.1"])
def test_a_server_that_is_new_enough_is_taken(version: str) -> None:
    check_version(version)
    assert too_old(version) is None
