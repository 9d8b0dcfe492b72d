"""Users, passwords and grants: what counts, from when on, and what it costs to find out."""

import asyncio
import time
from uuid import uuid4

import pytest

from config.settings import Settings
from library.access import passwords as passwords_module
from library.access.gathered import BatchedLookup
from library.access.passwords import Passwords, SignInsBusy
from library.access.slowing import Slowing
from library.access.tokens import AccessUnknown, Principal, Tokens
from library.access.users import NoSuchUser, NotAName, NotAPassword, SignIns, SlowedDown, UserExists, Users, enter_apis
from library.contracts.scopes import Scope, post_to
from library.sources.records.apis import Api
from library.warehouse.pool import Pool, create_pool
from service.resources import warehouse_dsn
from service.sources import SCOPES
from tests.support.access import all_users

PASSWORD = "correct horse battery"  # noqa: S105 - of users that live for a test
HERE = "192.0.2.1"


@pytest.fixture
def users(pool: Pool) -> Users:
    return Users(pool)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hash of each check that argon2 really made."""
    made: list[str] = []
    verified = passwords_module._verified

    def counting(stored: str, password: str) -> bool:
        made.append(stored)
        return verified(stored, password)

    monkeypatch.setattr(passwords_module, "_verified", counting)
    return made


def sign_ins(pool: Pool, **options: float) -> SignIns:
    return SignIns(pool, Passwords(**options), Slowing())  # type: ignore[arg-type]


async def test_a_password_lets_its_user_in_with_what_is_granted_now(users: Users, pool: Pool) -> None:
    await users.create("clinic", PASSWORD)
    signs = sign_ins(pool)
    found = await signs.verify("clinic", PASSWORD, HERE)
    assert found is not None
    assert not found.may(post_to(Api.PATIENT))
    await users.grant("clinic", Api.PATIENT)
    found = await signs.verify("clinic", PASSWORD, HERE)
    assert found is not None
    assert found.may(post_to(Api.PATIENT))
    assert not found.may(post_to(Api.ADMISSIONS))
    assert not any(found.may(scope) for scope in SCOPES), "who may post may not read"
    await users.ungrant("clinic", Api.PATIENT)
    found = await signs.verify("clinic", PASSWORD, HERE)
    assert found is not None
    assert not found.may(post_to(Api.PATIENT))


async def test_a_users_token_may_what_is_granted_now_and_nothing_else(users: Users, pool: Pool) -> None:
    user_id = await users.create("clinic")
    tokens = Tokens(pool)
    token_id, token = await tokens.create("clinic", [], user_id=user_id)
    for grant in (True, False):
        await (users.grant if grant else users.ungrant)("clinic", Api.LAB_RESULTS)
        found = await tokens.verify(token)
        assert found is not None
        assert (found.token_id, found.id) == (token_id, user_id)
        assert found.may(post_to(Api.LAB_RESULTS)) is grant
        assert not any(found.may(scope) for scope in SCOPES)
    await users.disable("clinic")
    assert await tokens.verify(token) is None
    await users.enable("clinic")
    assert await tokens.verify(token) is not None
    await tokens.revoke(token_id)
    assert await tokens.verify(token) is None


def test_only_who_may_do_everything_posts_without_a_grant() -> None:
    for scope in SCOPES:
        principal = Principal(uuid4(), "t", frozenset({scope}))
        assert principal.may(post_to(Api.PATIENT)) is (scope == Scope.ADMIN)


async def test_a_new_password_or_a_disabled_user_counts_at_once(users: Users, pool: Pool) -> None:
    await users.create("clinic", PASSWORD)
    signs = sign_ins(pool)
    assert await signs.verify("clinic", PASSWORD, HERE)
    await users.set_password("clinic", "another one entirely")
    assert await signs.verify("clinic", PASSWORD, HERE) is None
    assert await signs.verify("clinic", "another one entirely", HERE)
    await users.disable("clinic")
    assert await signs.verify("clinic", "another one entirely", HERE) is None


async def test_a_right_password_is_checked_once_a_minute_and_a_wrong_one_each_time(
    users: Users, pool: Pool, checks: list[str]
) -> None:
    await users.create("clinic", PASSWORD)
    signs = sign_ins(pool, remembered=60)
    for _ in range(5):
        assert await signs.verify("clinic", PASSWORD, HERE)
    assert len(checks) == 1
    for _ in range(2):
        assert await signs.verify("clinic", PASSWORD + "x", HERE) is None
    assert len(checks) == 3
    forgetful = sign_ins(pool, remembered=0.5)
    assert await forgetful.verify("clinic", PASSWORD, HERE)
    await asyncio.sleep(0.6)
    assert await forgetful.verify("clinic", PASSWORD, HERE)
    assert len(checks) == 5


async def test_callers_that_begin_at_once_share_one_check(users: Users, pool: Pool, checks: list[str]) -> None:
    await users.create("clinic", PASSWORD)
    signs = sign_ins(pool, waiting=1)
    found = await asyncio.gather(*(signs.verify("clinic", PASSWORD, HERE) for _ in range(50)))
    assert all(found)
    assert len(checks) == 1


@pytest.mark.parametrize("name", ["nobody", "without", "disabled", "no\0body", "x" * 5_000])
async def test_whoever_is_unknown_costs_the_same_check_as_who_is_known(
    users: Users, pool: Pool, checks: list[str], name: str
) -> None:
    await users.create("clinic", PASSWORD)
    await users.create("without")
    await users.create("disabled", PASSWORD)
    await users.disable("disabled")
    signs = sign_ins(pool)
    assert await signs.verify("clinic", "wrong", HERE) is None
    assert await signs.verify(name, PASSWORD, HERE) is None
    assert len(checks) == 2
    parameters = {stored.split("$")[2:4][1] for stored in checks}
    assert parameters == {"m=65536,t=3,p=1"}


async def test_repeated_failures_are_slowed_and_others_are_not(users: Users, pool: Pool, checks: list[str]) -> None:
    await users.create("clinic", PASSWORD)
    await users.create("other", PASSWORD)
    signs = sign_ins(pool)
    for number in range(5):
        assert await signs.verify("clinic", f"guess {number}", HERE) is None
    before = len(checks)
    with pytest.raises(SlowedDown) as slowed:
        await signs.verify("clinic", PASSWORD, HERE)
    assert 0 < (slowed.value.retry_after or 0) <= 1
    assert len(checks) == before, "what is slowed costs nothing"
    assert await signs.verify("other", PASSWORD, HERE)
    assert await signs.verify("clinic", PASSWORD, "192.0.2.2")
    assert await signs.verify("clinic", PASSWORD, HERE), "it is remembered"


async def test_guesses_that_wait_for_their_turn_are_slowed_too(users: Users, pool: Pool, checks: list[str]) -> None:
    await users.create("clinic", PASSWORD)
    signs = sign_ins(pool)
    guesses = (signs.verify("clinic", f"guess {number}", HERE) for number in range(20))
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(outcome, SlowedDown) for outcome in outcomes) >= 12
    assert len(checks) < 8


async def test_a_flood_of_sign_ins_is_refused_beyond_a_bound(users: Users, pool: Pool, checks: list[str]) -> None:
    await users.create("clinic", PASSWORD)
    signs = sign_ins(pool, at_once=1, waiting=3)
    floods = [signs.verify(f"user{number}", f"guess {number}", f"192.0.2.{number}") for number in range(40)]
    began = time.monotonic()
    outcomes = await asyncio.gather(*floods, return_exceptions=True)
    assert sum(isinstance(outcome, SignInsBusy) for outcome in outcomes) == 36
    assert len(checks) == 4
    assert time.monotonic() - began < 20


async def test_no_password_is_stored_as_it_is(users: Users, pool: Pool) -> None:
    await users.create("clinic", PASSWORD)
    stored = await pool.fetchval("SELECT password FROM access.api_user")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert PASSWORD not in stored


async def test_names_and_passwords_that_cannot_be_ones_are_refused(users: Users) -> None:
    await users.create("clinic")
    with pytest.raises(UserExists):
        await users.create("clinic")
    for name in ("", "a:b", "a b", "-a", "x" * 101, "a\0"):
        with pytest.raises(NotAName):
            await users.create(name)
        with pytest.raises(NoSuchUser):
            await users.grant(name, Api.PATIENT)
    for password in ("", "short", "x" * 1_001):
        with pytest.raises(NotAPassword):
            await users.set_password("clinic", password)


async def test_a_users_token_cannot_be_given_scopes(users: Users, pool: Pool) -> None:
    user_id = await users.create("clinic")
    with pytest.raises(Exception, match="users_have_grants"):
        await Tokens(pool).create("t", [Scope.READ_PATIENTS], user_id=user_id)


async def test_without_postgres_nobody_is_let_in_and_told_to_come_again(settings: Settings) -> None:
    lost = await create_pool(warehouse_dsn(settings), size=1)
    tokens, signs = Tokens(lost), sign_ins(lost)
    lost.terminate()
    with pytest.raises(AccessUnknown):
        await tokens.verify("wf_any")
    with pytest.raises(AccessUnknown):
        await signs.verify("clinic", PASSWORD, HERE)


async def test_who_asks_is_answered_by_a_question_that_was_put_afterwards() -> None:
    value, asked = 0, 0

    async def ask(_: object) -> dict[str, int]:
        nonlocal asked
        asked += 1
        seen = value
        await asyncio.sleep(0.05)
        return {"key": seen}

    gathered = BatchedLookup(ask)
    first = asyncio.create_task(gathered.get("key"))
    await asyncio.sleep(0.01)
    value = 1
    later = await asyncio.gather(*(gathered.get("key") for _ in range(100)))
    assert (await first, set(later), asked) == (0, {1}, 2)


async def test_an_api_that_is_entered_can_be_granted_and_entering_it_again_takes_no_grant_away(
    users: Users, pool: Pool
) -> None:
    await users.create("clinic")
    for _ in range(2):
        await enter_apis(pool, {"vital_signs": "/api_vital_signs"})
        await users.grant("clinic", "vital_signs")
    (listed,) = await all_users(pool)
    assert listed["grants"] == ["vital_signs"]
