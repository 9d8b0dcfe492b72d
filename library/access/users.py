"""Users who post records: their passwords, and the APIs that they may post to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import ARRAY, Text, any_, bindparam, cast, select
from sqlmodel import col

from library.access.gathered import BatchedLookup
from library.access.passwords import Passwords, hashed
from library.access.slowing import FailureCounter, Slowing
from library.access.tokens import GRANTED, AccessUnknown, Principal
from library.contracts.errors import WardflowError
from library.datasets.access import ApiUser
from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Pool
from library.warehouse.queries.statement import Statement

NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}"
"""The allowed names. They need no escaping in a URL or in HTTP Basic."""

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1_000

_QUERY_TIMEOUT = 5.0
_FREE_AT_ADDRESS, _FREE_OF_ADDRESS, _FREE_OF_USER = 5, 30, 100
"""Failures without a wait: of a user at one address, of an address, of a user at all addresses."""


class NoSuchUser(WardflowError):
    """There is no user with this name."""

    default_advice = "`wardflow access user list` shows the users."


class UserExists(WardflowError):
    """There is already a user with this name."""

    default_advice = "Choose another name."


class NotAName(WardflowError):
    """The text is not allowed as a user's name."""

    default_advice = "A name has 1 to 100 letters, digits and . _ @ -, and begins with a letter or a digit."


class NotAPassword(WardflowError):
    """The text is not allowed as a password."""

    default_advice = f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."


class SlowedDown(WardflowError):
    """Too many sign-ins of this user, or from this address, have failed."""

    default_advice = "Wait for the seconds in `Retry-After`, or use a token."

    def __init__(self, seconds: float) -> None:
        super().__init__("Too many sign-ins have failed.")
        self.retry_after = seconds


@dataclass(frozen=True)
class _UserRow:
    principal: Principal
    password: str | None


class Users:
    """Creates and changes users, and grants APIs to them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, name: str, password: str | None = None) -> UUID:
        """Create a user without grants.

        Raises:
            UserExists: there is already a user with this name.
            NotAName: the name is not allowed.
            NotAPassword: the password is too short or too long.
        """
        if not re.fullmatch(NAME, name):
            raise NotAName("This text is not allowed as a user's name.")
        stored = None if password is None else await _stored(password)
        user_id = uuid4()
        made = await self._pool.fetchval(
            "INSERT INTO access.api_user (id, name, password, created_at) VALUES ($1, $2, $3, now()) "
            "ON CONFLICT (name) DO NOTHING RETURNING true",
            user_id,
            name,
            stored,
        )
        if not made:
            raise UserExists(f"There is already a user '{name}'.")
        return user_id

    async def set_password(self, name: str, password: str) -> None:
        """Change a user's password, from the next request on.

        Raises:
            NoSuchUser: there is no user with this name.
            NotAPassword: the password is too short or too long.
        """
        await self._change("UPDATE access.api_user SET password = $2 WHERE name = $1", name, await _stored(password))

    async def disable(self, name: str) -> None:
        """Refuse a user's password and tokens, from the next request on.

        Raises:
            NoSuchUser: there is no user with this name.
        """
        await self._change(
            "UPDATE access.api_user SET disabled_at = coalesce(disabled_at, now()) WHERE name = $1", name
        )

    async def enable(self, name: str) -> None:
        """Accept a disabled user again.

        Raises:
            NoSuchUser: there is no user with this name.
        """
        await self._change("UPDATE access.api_user SET disabled_at = NULL WHERE name = $1", name)

    async def grant(self, name: str, api: str) -> None:
        """Allow a user to post to an API, from the next request on.

        Raises:
            NoSuchUser: there is no user with this name.
        """
        await self._pool.execute(
            "INSERT INTO access.api_grant (user_id, api) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            await self.id_of(name),
            api,
        )

    async def ungrant(self, name: str, api: str) -> None:
        """Remove a grant, from the next request on.

        Raises:
            NoSuchUser: there is no user with this name.
        """
        await self._pool.execute(
            "DELETE FROM access.api_grant WHERE user_id = $1 AND api = $2", await self.id_of(name), api
        )

    async def id_of(self, name: str) -> UUID:
        """A user's id.

        Raises:
            NoSuchUser: there is no user with this name.
        """
        found: UUID | None = None
        if "\0" not in name:
            found = await self._pool.fetchval("SELECT id FROM access.api_user WHERE name = $1", name)
        if found is None:
            raise NoSuchUser("There is no user with this name.")
        return found

    async def _change(self, statement: str, name: str, *more: object) -> None:
        await self.id_of(name)
        await self._pool.execute(statement, name, *more)


async def enter_apis(pool: Pool, paths: Mapping[str, str]) -> None:
    """Enter APIs that users can be granted; those that are there stay.

    Args:
        pool: of the warehouse.
        paths: of their routes, by name.
    """
    await pool.executemany(
        "INSERT INTO access.api (name, path) VALUES ($1, $2) ON CONFLICT DO NOTHING", list(paths.items())
    )


class SignIns:
    """Checks user names and passwords."""

    def __init__(self, pool: Pool, passwords: Passwords, slowing: Slowing) -> None:
        self._pool, self._passwords, self._slowing = pool, passwords, slowing
        self._by_name = BatchedLookup(self._rows)

    async def verify(self, name: str, password: str, address: str) -> Principal | None:
        """The caller; `None` for an unknown or disabled user or a wrong password. All of these take the same time.

        Raises:
            SlowedDown: too many sign-ins have failed.
            SignInsBusy: too many passwords wait to be checked.
            AccessUnknown: Postgres does not answer.
        """
        counting = name[:100]  # names are kept in memory, and may be very long
        here = FailureCounter((counting, address), _FREE_AT_ADDRESS)
        of_address = FailureCounter(("from", address), _FREE_OF_ADDRESS)
        counted = (here, of_address, FailureCounter(("of", counting), _FREE_OF_USER))

        def require_no_wait() -> None:
            if seconds := self._slowing.seconds(counted):
                raise SlowedDown(seconds)

        found = await self._find(name)
        if found is None or not self._passwords.remembers(found.password, password):
            require_no_wait()
            stored = found.password if found else None
            if not await self._passwords.fits(stored, password, before=require_no_wait):
                self._slowing.failed(counted)
                return None
            self._slowing.succeeded(here)
            found = await self._find(name)  # the check took a quarter of a second; the user may have changed
        if found is None or not self._passwords.remembers(found.password, password):
            return None
        return found.principal

    async def _find(self, name: str) -> _UserRow | None:
        try:
            return await self._by_name.get(name) if re.fullmatch(NAME, name) else None
        except TimeoutError as error:
            raise AccessUnknown("The user cannot be looked up: Postgres does not answer in time.") from error

    async def _rows(self, names: Sequence[str]) -> Mapping[str, _UserRow]:
        try:
            rows = await _BY_NAME.fetch(self._pool, within=_QUERY_TIMEOUT, names=names)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            raise AccessUnknown(f"The user cannot be looked up ({type(error).__name__}).") from error
        return {
            row["name"]: _UserRow(
                Principal(row["id"], row["name"], frozenset(), row["id"], frozenset(row["grants"])), row["password"]
            )
            for row in rows
        }


_BY_NAME = Statement(
    select(col(ApiUser.id), col(ApiUser.name), col(ApiUser.password), GRANTED).where(
        col(ApiUser.name) == any_(cast(bindparam("names"), ARRAY(Text))), col(ApiUser.disabled_at).is_(None)
    )
)


async def _stored(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise NotAPassword("The password is too short or too long.")
    return await hashed(password)
