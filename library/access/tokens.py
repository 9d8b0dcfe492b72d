"""Tokens with scopes: shown once, stored as hashes, expiring and revocable at once."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from library.contracts.errors import WardflowError
from library.warehouse.pool import Pool

_PREFIX = "wf_"
_BYTES = 32


class Scope(StrEnum):
    """What the bearer of a token may do."""

    READ_BEDS = "read:beds"
    READ_PATIENTS = "read:patients"
    OPERATE = "operate"
    ADMIN = "admin"


class NoSuchToken(WardflowError):
    """No token has this id."""

    default_advice = "`wardflow access token list` shows the tokens and their ids."


@dataclass(frozen=True)
class Principal:
    """Who asks."""

    token_id: UUID
    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether one of its scopes is this one, or all of them."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True)
class TokenInfo:
    """A token, without itself."""

    id: UUID
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Tokens:
    """Makes, checks and revokes tokens."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self, name: str, scopes: Sequence[Scope], *, expires_at: datetime | None = None
    ) -> tuple[UUID, str]:
        """Make a token; returns its id, and the token itself, which nobody can see again."""
        token_id, token = uuid4(), _PREFIX + secrets.token_urlsafe(_BYTES)
        await self._pool.execute(
            "INSERT INTO access.token (id, name, digest, scopes, created_at, expires_at) "
            "VALUES ($1, $2, $3, $4, now(), $5)",
            token_id,
            name,
            digest(token),
            [str(scope) for scope in scopes],
            expires_at,
        )
        return token_id, token

    async def verify(self, token: str) -> Principal | None:
        """Whose token it is; `None` for one that is unknown, expired or revoked."""
        row = await self._pool.fetchrow(
            "SELECT id, name, scopes FROM access.token WHERE digest = $1 AND revoked_at IS NULL "
            "AND (expires_at IS NULL OR expires_at > now())",
            digest(token),
        )
        return None if row is None else Principal(row["id"], row["name"], frozenset(row["scopes"]))

    async def bearer(self, token_id: UUID) -> Principal | None:
        """Whose token has this id; `None` where it counts no more."""
        row = await self._pool.fetchrow(
            "SELECT id, name, scopes FROM access.token WHERE id = $1 AND revoked_at IS NULL "
            "AND (expires_at IS NULL OR expires_at > now())",
            token_id,
        )
        return None if row is None else Principal(row["id"], row["name"], frozenset(row["scopes"]))

    async def revoke(self, token_id: UUID) -> None:
        """Take a token back, from the next request on.

        Raises:
            NoSuchToken: there is none with this id.
        """
        found = await self._pool.fetchval(
            "UPDATE access.token SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING true", token_id
        )
        if not found:
            raise NoSuchToken(f"No token has the id {token_id}.")

    async def listed(self) -> list[TokenInfo]:
        """All tokens, the newest first."""
        rows = await self._pool.fetch(
            "SELECT id, name, scopes, created_at, expires_at, revoked_at FROM access.token ORDER BY created_at DESC, id"
        )
        return [TokenInfo(**{**dict(row), "scopes": tuple(row["scopes"])}) for row in rows]


def digest(token: str) -> bytes:
    """What is stored of a token. It has 256 random bits, so a fast hash cannot be guessed back."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
