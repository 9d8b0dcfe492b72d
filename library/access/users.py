"""Users who post records, their passwords, and the APIs that they are granted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from library.access.gathered import Gathered
from library.access.passwords import Passwords, hashed
from library.access.slowing import Counted, Slowing
from library.access.tokens import GRANTS, AccessUnknown, Principal
from library.contracts.errors import WardflowError
from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Pool

NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}"
"""What a user's name may be: fits into a URL and into HTTP Basic as it is."""

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1_000

_PATIENCE = 5.0
_FREE_AT_ADDRESS, _FREE_OF_ADDRESS, _FREE_OF_USER = 5, 30, 100
"""Failures that slow nothing yet: of a user at one address, of an address, of a user wherever they come from."""


class NoSuchUser(WardflowError):
    """No user has this name."""

    default_advice = "`wardflow access user list` shows the users."


class UserExists(WardflowError):
    """A user of this name is there already."""

    default_advice = "Choose another name."


class NotAName(WardflowError):
    """A text that cannot be a user's name."""

    default_advice = "A name has 1 to 100 letters, digits and . _ @ -, and begins with a letter or a digit."


class NotAPassword(WardflowError):
    """A text that cannot be a password."""

    default_advice = f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."


class SlowedDown(WardflowError):
    """Too many sign-ins of this user, or from this address, have failed."""

    default_advice = "Wait as long as `Retry-After` says, or use a token."

    def __init__(self, seconds: float) -> None:
        super().__init__("Too many sign-ins have failed.")
        self.retry_after = seconds


@dataclass(frozen=True)
class UserInfo:
    """A user, without password and tokens."""

    id: UUID
    name: str
    grants: tuple[str, ...]
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True)
class _Known:
    principal: Principal
    password: str | None


class Users:
    """Makes users, changes them, and says what they may do."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, name: str, password: str | None = None) -> UUID:
        """Make a user, who is granted nothing yet.

        Raises:
            UserExists: there is one of this name.
            NotAName: the name cannot be one.
            NotAPassword: too short or too long.
        """
        if not re.fullmatch(NAME, name):
            raise NotAName("This cannot be a user's name.")
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
            raise UserExists(f"There is a user '{name}' already.")
        return user_id

    async def set_password(self, name: str, password: str) -> None:
        """Give a user another password, from the next request on.

        Raises:
            NoSuchUser: there is none of this name.
            NotAPassword: too short or too long.
        """
        await self._change("UPDATE access.api_user SET password = $2 WHERE name = $1", name, await _stored(password))

    async def disable(self, name: str) -> None:
        """Let neither password nor tokens of a user count, from the next request on.

        Raises:
            NoSuchUser: there is none of this name.
        """
        await self._change(
            "UPDATE access.api_user SET disabled_at = coalesce(disabled_at, now()) WHERE name = $1", name
        )

    async def enable(self, name: str) -> None:
        """Let a disabled user in again.

        Raises:
            NoSuchUser: there is none of this name.
        """
        await self._change("UPDATE access.api_user SET disabled_at = NULL WHERE name = $1", name)

    async def grant(self, name: str, api: str) -> None:
        """Let a user post to an API, from the next request on.

        Raises:
            NoSuchUser: there is none of this name.
        """
        await self._pool.execute(
            "INSERT INTO access.api_grant (user_id, api) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            await self.id_of(name),
            api,
        )

    async def ungrant(self, name: str, api: str) -> None:
        """Let a user no longer post to an API, from the next request on.

        Raises:
            NoSuchUser: there is none of this name.
        """
        await self._pool.execute(
            "DELETE FROM access.api_grant WHERE user_id = $1 AND api = $2", await self.id_of(name), api
        )

    async def id_of(self, name: str) -> UUID:
        """A user's id.

        Raises:
            NoSuchUser: there is none of this name.
        """
        found: UUID | None = None
        if "\0" not in name:
            found = await self._pool.fetchval("SELECT id FROM access.api_user WHERE name = $1", name)
        if found is None:
            raise NoSuchUser("No user has this name.")
        return found

    async def listed(self) -> list[UserInfo]:
        """All users, by name."""
        rows = await self._pool.fetch(
            "SELECT u.id, u.name, array(SELECT g.api FROM access.api_grant g WHERE g.user_id = u.id ORDER BY g.api) "
            "AS grants, u.password IS NOT NULL AS has_password, u.created_at, u.disabled_at "
            "FROM access.api_user u ORDER BY u.name"
        )
        return [UserInfo(**{**dict(row), "grants": tuple(row["grants"])}) for row in rows]

    async def _change(self, statement: str, name: str, *more: object) -> None:
        await self.id_of(name)
        await self._pool.execute(statement, name, *more)


class SignIns:
    """Checks names with passwords."""

    def __init__(self, pool: Pool, passwords: Passwords, slowing: Slowing) -> None:
        self._pool, self._passwords, self._slowing = pool, passwords, slowing
        self._by_name = Gathered(self._known)

    async def verify(self, name: str, password: str, address: str) -> Principal | None:
        """Who signs in; `None` for an unknown or disabled user or another password, all of which take as long.

        Raises:
            SlowedDown: too many have failed before.
            SignInsBusy: too many passwords are waiting to be checked.
            AccessUnknown: Postgres does not answer.
        """
        counting = name[:100]  # what is counted is kept, and may be anything
        here = Counted((counting, address), _FREE_AT_ADDRESS)
        counted = (here, Counted(("from", address), _FREE_OF_ADDRESS), Counted(("of", counting), _FREE_OF_USER))

        def unless_slowed() -> None:
            if seconds := self._slowing.seconds(counted):
                raise SlowedDown(seconds)

        found = await self._find(name)
        if found is None or not self._passwords.remembers(found.password, password):
            unless_slowed()
            stored = found.password if found else None
            if not await self._passwords.fits(stored, password, before=unless_slowed):
                self._slowing.failed(counted)
                return None
            self._slowing.succeeded(here)
            found = await self._find(name)  # much may have changed in a quarter of a second
        if found is None or not self._passwords.remembers(found.password, password):
            return None
        return found.principal

    async def _find(self, name: str) -> _Known | None:
        return await self._by_name.get(name) if re.fullmatch(NAME, name) else None

    async def _known(self, names: Sequence[str]) -> Mapping[str, _Known]:
        try:
            rows = await self._pool.fetch(_KNOWN, names, timeout=_PATIENCE)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            raise AccessUnknown(f"Who this is cannot be looked up ({type(error).__name__}).") from error
        return {
            row["name"]: _Known(
                Principal(row["id"], row["name"], frozenset(), row["id"], frozenset(row["grants"])), row["password"]
            )
            for row in rows
        }


_KNOWN = (
    f"SELECT u.id, u.name, u.password, {GRANTS} FROM access.api_user u "  # noqa: S608 - made of constants; values are parameters
    "WHERE u.name = ANY ($1::text[]) AND u.disabled_at IS NULL"
)


async def _stored(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise NotAPassword("This password is too short or too long.")
    return await hashed(password)
