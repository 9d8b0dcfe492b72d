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
from sqlmodel import SQLModel

from library.datasets.fields import field

SCHEMA = "access"


class ApiUser(SQLModel, table=True):
    """A user who posts records: a clinic, a laboratory, a ward."""

    __tablename__ = "api_user"
    __table_args__ = ({"schema": SCHEMA},)

    id: UUID = field("The user's id.", "0b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11", primary_key=True)
    name: str = field("The name for the sign-in.", "st-elsewhere", sa_type=Text, unique=True)
    password: str | None = field(
        "Argon2's hash of the password; null: the user cannot sign in with a password.", default=None, sa_type=Text
    )
    created_at: datetime = field(
        "When the user was made.", "2026-11-21T10:15:30+00:00", sa_type=DateTime(timezone=True)
    )
    disabled_at: datetime | None = field(
        "From this time on, password and tokens are refused.", None, default=None, sa_type=DateTime(timezone=True)
    )


class GrantableApi(SQLModel, table=True):
    """An API that can be granted to users. Its route is `POST {path}`."""

    __tablename__ = "api"
    __table_args__ = ({"schema": SCHEMA},)

    name: str = field("The API's name.", sa_type=Text, primary_key=True)
    path: str = field("Of its route.", "/api_…", sa_type=Text, unique=True)


class ApiGrant(SQLModel, table=True):
    """The permission of a user to post to an API, from the row's insertion to its deletion."""

    __tablename__ = "api_grant"
    __table_args__ = ({"schema": SCHEMA},)

    user_id: UUID = field("The user.", foreign_key=f"{SCHEMA}.api_user.id", primary_key=True)
    api: str = field("The API.", "patient", sa_type=Text, foreign_key=f"{SCHEMA}.api.name", primary_key=True)
    granted_at: datetime = field(
        "When the grant was made.",
        "2026-11-21T10:15:30+00:00",
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")),
    )


class Token(SQLModel, table=True):
    """A token. Its SHA-256 is stored, never the token itself."""

    __tablename__ = "token"
    __table_args__ = (
        CheckConstraint("user_id IS NULL OR scopes = '{}'", name="users_have_grants"),
        Index("token_user_id", "user_id"),
        {"schema": SCHEMA},
    )

    id: UUID = field("The token's id.", "7b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11", primary_key=True)
    name: str = field("The owner or the purpose of the token.", "ward dashboard", sa_type=Text)
    digest: bytes = field(
        "SHA-256 of the token; 256 random bits need no slower hash.", sa_type=LargeBinary, unique=True
    )
    scopes: list[str] = field(
        "Its permissions; `admin` includes all others.", ["read:beds"], sa_column=Column(ARRAY(Text), nullable=False)
    )
    created_at: datetime = field(
        "When the token was made.", "2026-11-21T10:15:30+00:00", sa_type=DateTime(timezone=True)
    )
    expires_at: datetime | None = field(
        "From this time on it is refused; null: never.",
        "2027-02-19T10:15:30+00:00",
        default=None,
        sa_type=DateTime(timezone=True),
    )
    revoked_at: datetime | None = field("When it was taken back.", None, default=None, sa_type=DateTime(timezone=True))
    user_id: UUID | None = field(
        "The user that the token belongs to. Such a token has no scopes, but the user's grants.",
        None,
        default=None,
        foreign_key=f"{SCHEMA}.api_user.id",
    )


class AuditEntry(SQLModel, table=True):
    """An action that must be accounted for. Rows are only inserted, never changed."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_at", "at"), {"schema": SCHEMA})

    id: int = field(
        "Counts entries.", 17, default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    at: datetime = field(
        "When it was done.",
        "2026-11-21T10:15:30+00:00",
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()")),
    )
    actor: str = field(
        "The id of a token, or of a user with a password; `local` for a command on this machine; or `unknown`.",
        "7b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11",
        sa_type=Text,
    )
    action: str = field("`start_run`, `cancel_run`, `create_token`, `refused`, …", "start_run", sa_type=Text)
    subject: str = field(
        "The id of the changed object; never patient data.",
        "workbook-8a3fba491baf4e88bb64cf89f2590026c2274df6903c83e9a48e893c881baeac",
        sa_type=Text,
    )
    detail: dict[str, Any] = field(
        "More about it; never patient data.", {}, sa_column=Column(JSONB, nullable=False, server_default="{}")
    )


class Idempotency(SQLModel, table=True):
    """A request with an idempotency key, and its answer; removed after a day."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("idempotency_created_at", "created_at"), {"schema": SCHEMA})

    principal: UUID = field("The token's id.", primary_key=True)
    key: str = field("The value of the header.", sa_type=Text, primary_key=True)
    fingerprint: bytes = field("SHA-256 of method, path, query and body.", sa_type=LargeBinary)
    claim: UUID = field("The id of the attempt that executes the request, or executed it.")
    claimed_at: datetime = field("Renewed while the request is executed.", sa_type=DateTime(timezone=True))
    created_at: datetime = field(
        "When the key came first.", "2026-11-21T10:15:30+00:00", sa_type=DateTime(timezone=True)
    )
    status: int | None = field(
        "The status of the answer; null while there is none.", default=None, sa_type=SmallInteger
    )
    headers: dict[str, Any] | None = field(
        "Headers of the answer.", default=None, sa_column=Column(JSONB, nullable=True)
    )
    body: bytes | None = field("The body of the answer.", default=None, sa_type=LargeBinary)
