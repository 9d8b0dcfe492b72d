"""Answers that several routes have."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from service.api.names import one_of
from service.sources import SCOPES


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
