"""The hash that is checked for unknown users."""

import pytest
from argon2 import extract_parameters
from argon2.exceptions import VerifyMismatchError

from library.access.passwords import _DUMMY_HASH, _HASHER, hashed


async def test_the_hash_for_unknown_users_has_the_cost_and_the_length_of_a_stored_one() -> None:
    stored = await hashed("a right password")
    assert extract_parameters(_DUMMY_HASH) == extract_parameters(stored)
    assert len(_DUMMY_HASH) == len(stored)


def test_the_hash_for_unknown_users_is_computed_before_a_password_is_refused() -> None:
    with pytest.raises(VerifyMismatchError):  # a malformed hash would be refused at once
        _HASHER.verify(_DUMMY_HASH, "a password")
