"""The items of answers, for the OpenAPI document only. Postgres writes the rows as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from service.api.names import one_of
from service.sources import SCOPES, SOURCES

_SHA256 = "8a3fba491baf4e88bb64cf89f2590026c2274df6903c83e9a48e893c881baeac"


class Items[Item](BaseModel):
    """A page of a list; `Link` says where the next one is, if there is one."""

    items: list[Item]


ScopeName = Annotated[str, *one_of(SCOPES)]
"""The scopes that a token can have."""


class MadeToken(BaseModel):
    """A token, shown now and never again."""

    id: UUID
    token: str = Field(examples=["wf_…"])
    name: str
    scopes: list[ScopeName]
    expires_at: datetime | None


class TokenItem(BaseModel):
    """A token, without itself."""

    id: UUID = Field(examples=["7b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11"])
    name: str = Field(examples=["ward dashboard"])
    user_id: UUID | None = Field(description="Whose it is, who may post what is granted.", examples=[None])
    scopes: list[str] = Field(examples=[["read:beds"]])
    created_at: datetime = Field(examples=["2026-11-21T10:15:30+00:00"])
    expires_at: datetime | None = Field(examples=["2027-02-19T10:15:30+00:00"])
    revoked_at: datetime | None = Field(examples=[None])


class UserItem(BaseModel):
    """A user who posts records, without password and tokens."""

    id: UUID = Field(examples=["0b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11"])
    name: str = Field(examples=["st-elsewhere"])
    grants: list[str] = Field(description="The APIs that the user may post to.", examples=[["patient"]])
    has_password: bool = Field(description="Whether HTTP Basic lets the user in.", examples=[False])
    created_at: datetime = Field(examples=["2026-11-21T10:15:30+00:00"])
    disabled_at: datetime | None = Field(examples=[None])


class GrantItem(BaseModel):
    """A user may post to an API."""

    user_name: str = Field(examples=["st-elsewhere"])
    api: str = Field(examples=["patient"])
    path: str = Field(description="Of its route.", examples=["/api_…"])
    granted_at: datetime = Field(examples=["2026-11-21T10:15:30+00:00"])


class AuditItem(BaseModel):
    """Something that somebody did."""

    id: int = Field(examples=[17])
    at: datetime = Field(examples=["2026-11-21T10:15:30+00:00"])
    actor: str = Field(
        description="A token's id, or `local`: a command on the machine.",
        examples=["7b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11"],
    )
    action: str = Field(examples=["start_run"])
    subject: str = Field(examples=[f"workbook-{_SHA256}"])
    detail: dict[str, Any] = Field(examples=[{}])


class RejectionItem(BaseModel):
    """A row that was refused."""

    id: int = Field(examples=[17])
    source: str = Field(examples=[SOURCES[0].name])
    dataset: str = Field(examples=[SOURCES[0].datasets[0].name])
    object_key: str | None = Field(
        description="The landed object that holds it.", examples=[f"landed/{SOURCES[0].name}/8a3f…"]
    )
    line: int | None = Field(description="Of the object, from 1.", examples=[12])
    topic: str | None = Field(description="Where it came as a record of a stream.", examples=[None])
    incarnation: int | None = Field(description="Of the topic.", examples=[None])
    partition: int | None = Field(examples=[None])
    offset: int | None = Field(examples=[None])
    reasons: list[str] = Field(description="Never with the value.", examples=[["birthDate: not a date"]])
    rejected_at: datetime = Field(examples=["2026-11-21T10:15:30+00:00"])
    load_id: UUID = Field(examples=["65009f02-689c-5c5e-8604-6ba18afdb58c"])
    run_id: str | None = Field(description="The run of that load.")
    raw: str | None = Field(
        default=None, description="As it came; only with `raw=true`. Null where it is too long: see the object's line."
    )
    raw_encoding: Literal["utf-8", "base64"] | None = Field(
        default=None, description="Of `raw`, where it is asked for."
    )
