"""Schema `access`: who may do what, and who did."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, LargeBinary, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

SCHEMA = "access"


class Token(SQLModel, table=True):
    """A token: its SHA-256, never itself.

    Attributes:
        name: whom it was given to, or what for.
        digest: SHA-256 of the token; 256 random bits need no slower hash.
        scopes: what its bearer may do; `admin` holds them all.
    """

    __tablename__ = "token"
    __table_args__ = ({"schema": SCHEMA},)

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    digest: bytes = Field(sa_type=LargeBinary, unique=True)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    revoked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class Audit(SQLModel, table=True):
    """Something that somebody did and that has to be answered for; rows are only ever added.

    Attributes:
        actor: a token's id, or `local` for a command on the machine itself.
        action: `start_run`, `cancel_run`, `create_token`, …
        subject: what it was done to: an id, never patient data.
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
    """A request that a caller gave a key, and what it was answered; removed after a day.

    Attributes:
        principal: the token's id.
        fingerprint: SHA-256 of method, path, query and body.
        claim: of the attempt that carries the request out, or did.
        claimed_at: renewed while it does.
        status: of the answer; null while there is none.
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
