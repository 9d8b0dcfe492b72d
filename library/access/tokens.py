"""Tokens with scopes. They are shown once, stored as hashes, can expire, and can be revoked at once."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import ARRAY, LargeBinary, Text, any_, bindparam, cast, func, or_, select
from sqlmodel import col

from library.access.gathered import BatchedLookup
from library.contracts.errors import WardflowError
from library.contracts.scopes import POST, Scope
from library.datasets.access import ApiGrant, ApiUser, Token
from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Pool
from library.warehouse.queries.statement import Statement

_PREFIX = "wf_"
_BYTES = 32
_QUERY_TIMEOUT = 5.0
"""Seconds to wait for Postgres when a token is checked. Every request waits for this."""

GRANTED = func.array(
    select(col(ApiGrant.api))
    .where(col(ApiGrant.user_id) == col(ApiUser.id))
    .order_by(col(ApiGrant.api))
    .correlate(ApiUser)
    .scalar_subquery(),
    type_=ARRAY(Text),
).label("grants")
"""The APIs that a user may post to."""

_VALID = (
    select(col(Token.digest), col(Token.id), col(Token.name), col(Token.scopes), col(Token.user_id), GRANTED)
    .select_from(Token)
    .outerjoin(ApiUser, col(ApiUser.id) == col(Token.user_id))
    .where(
        col(Token.revoked_at).is_(None),
        or_(col(Token.expires_at).is_(None), col(Token.expires_at) > func.now()),
        col(ApiUser.disabled_at).is_(None),
    )
)
_BY_ID = Statement(_VALID.where(col(Token.id) == bindparam("token_id")))
_BY_DIGEST = Statement(_VALID.where(col(Token.digest) == any_(cast(bindparam("digests"), ARRAY(LargeBinary)))))


class AccessUnknown(WardflowError):
    """Postgres does not answer, so permissions cannot be checked."""

    retryable = True
    default_advice = "Try again; see `wardflow doctor`."


class NoSuchToken(WardflowError):
    """There is no token with this id."""

    default_advice = "`wardflow access token list` shows the tokens and their ids."


@dataclass(frozen=True)
class Principal:
    """The caller of a request.

    Attributes:
        token_id: the token's id; for a password, the user's id.
        grants: the APIs that the user may post to now.
    """

    token_id: UUID
    name: str
    scopes: frozenset[str]
    user_id: UUID | None = None
    grants: frozenset[str] = frozenset()

    @property
    def id(self) -> UUID:
        """The caller's id. It is the same for all tokens of a user and for the password."""
        return self.user_id or self.token_id

    def may(self, scope: str) -> bool:
        """Whether the caller has this scope or grant, or is an administrator."""
        if scope.startswith(POST) and scope.removeprefix(POST) in self.grants:
            return True
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Tokens:
    """Creates, checks and revokes tokens."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._by_digest = BatchedLookup(self._bearers)

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        expires_at: datetime | None = None,
        user_id: UUID | None = None,
    ) -> tuple[UUID, str]:
        """Create a token, and return its id and the token, which cannot be shown again.

        Args:
            name: what the token is for.
            scopes: its permissions; none for a user's token, since grants apply.
            expires_at: when it expires.
            user_id: the user that it belongs to.
        """
        token_id, token = uuid4(), _PREFIX + secrets.token_urlsafe(_BYTES)
        await self._pool.execute(
            "INSERT INTO access.token (id, name, digest, scopes, created_at, expires_at, user_id) "
            "VALUES ($1, $2, $3, $4, now(), $5, $6)",
            token_id,
            name,
            digest(token),
            [str(scope) for scope in scopes],
            expires_at,
            user_id,
        )
        return token_id, token

    async def verify(self, token: str) -> Principal | None:
        """The caller with this token; `None`: it is unknown, expired or revoked, or its user is disabled.

        Raises:
            AccessUnknown: Postgres does not answer.
        """
        try:
            return await self._by_digest.get(digest(token))
        except TimeoutError as error:
            raise AccessUnknown("The token cannot be looked up: Postgres does not answer in time.") from error

    async def bearer(self, token_id: UUID) -> Principal | None:
        """The caller with the token of this id; `None`: the token is no longer valid.

        Raises:
            AccessUnknown: Postgres does not answer.
        """
        return next(iter((await self._found(_BY_ID, token_id=token_id)).values()), None)

    async def _bearers(self, digests: Sequence[bytes]) -> Mapping[bytes, Principal]:
        return await self._found(_BY_DIGEST, digests=digests)

    async def _found(self, statement: Statement, **values: object) -> Mapping[bytes, Principal]:
        try:
            rows = await statement.fetch(self._pool, within=_QUERY_TIMEOUT, **values)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            raise AccessUnknown(f"The token cannot be looked up ({type(error).__name__}).") from error
        return {row["digest"]: _principal(row) for row in rows}

    async def revoke(self, token_id: UUID) -> None:
        """Revoke a token, from the next request on.

        Raises:
            NoSuchToken: there is no token with this id.
        """
        found = await self._pool.fetchval(
            "UPDATE access.token SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING true", token_id
        )
        if not found:
            raise NoSuchToken(f"There is no token with the id {token_id}.")


def digest(token: str) -> bytes:
    """The stored hash of a token. A token has 256 random bits, so a fast hash is safe."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _principal(row: Mapping[str, Any]) -> Principal:
    return Principal(row["id"], row["name"], frozenset(row["scopes"]), row["user_id"], frozenset(row["grants"]))
