"""Schema `access`: users, tokens, grants, and the audit."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

SCHEMA = "access"


class ApiUser(SQLModel, table=True):
    """A user who posts records: a clinic, a laboratory, a ward.

    Attributes:
        name: the name for the sign-in.
        password: argon2's hash of the password; null: the user cannot sign in with a password.
        disabled_at: from this time on, password and tokens are refused.
    """

    __tablename__ = "api_user"
    __table_args__ = ({"schema": SCHEMA},)

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    password: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    disabled_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class GrantableApi(SQLModel, table=True):
    """An API that can be granted to users. Its route is `POST {path}`."""

    __tablename__ = "api"
    __table_args__ = ({"schema": SCHEMA},)

    name: str = Field(sa_type=Text, primary_key=True)
    path: str = Field(sa_type=Text, unique=True)


class ApiGrant(SQLModel, table=True):
    """The permission of a user to post to an API, from the row's insertion to its deletion."""

    __tablename__ = "api_grant"
    __table_args__ = ({"schema": SCHEMA},)

    user_id: UUID = Field(foreign_key=f"{SCHEMA}.api_user.id", primary_key=True)
    api: str = Field(sa_type=Text, foreign_key=f"{SCHEMA}.api.name", primary_key=True)
    granted_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class Token(SQLModel, table=True):
    """A token. Its SHA-256 is stored, never the token itself.

    Attributes:
        name: the owner or the purpose of the token.
        digest: SHA-256 of the token; 256 random bits need no slower hash.
        scopes: its permissions; `admin` includes all others.
        user_id: the user that the token belongs to. Such a token has no scopes, but the user's grants.
    """

    __tablename__ = "token"
    __table_args__ = (
        CheckConstraint("user_id IS NULL OR scopes = '{}'", name="users_have_grants"),
        Index("token_user_id", "user_id"),
        {"schema": SCHEMA},
    )

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    digest: bytes = Field(sa_type=LargeBinary, unique=True)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    revoked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    user_id: UUID | None = Field(default=None, foreign_key=f"{SCHEMA}.api_user.id")


class AuditEntry(SQLModel, table=True):
    """An action that must be accounted for. Rows are only inserted, never changed.

    Attributes:
        actor: the id of a token, or of a user with a password; `local` for a command on this machine; or `unknown`.
        action: `start_run`, `cancel_run`, `create_token`, `refused`, …
        subject: the id of the changed object; never patient data.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("audit_at", "at"), {"schema": SCHEMA})

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")))
    actor: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    detail: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))


class Idempotency(SQLModel, table=True):
    """A request with an idempotency key, and its answer; removed after a day.

    Attributes:
        principal: the token's id.
        fingerprint: SHA-256 of method, path, query and body.
        claim: the id of the attempt that executes the request, or executed it.
        claimed_at: renewed while the request is executed.
        status: the status of the answer; null while there is none.
    """

    __tablename__ = "idempotency"
    __table_args__ = (Index("idempotency_created_at", "created_at"), {"schema": SCHEMA})

    principal: UUID = Field(primary_key=True)
    key: str = Field(sa_type=Text, primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    claim: UUID
    claimed_at: datetime = Field(sa_type=DateTime(timezone=True))
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    status: int | None = Field(default=None, sa_type=SmallInteger)
    headers: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
