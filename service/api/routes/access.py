"""`/access`: tokens, and the audit."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from library.access.scopes import Scope
from library.warehouse.queries import access as queries
from service.api.context import ApiContext
from service.api.items import AuditItem, MadeToken, ScopeName, TokenItem
from service.api.pages import After, Limit, listed
from service.api.parameters import NO_NUL, Moment, Text
from service.api.security import Caller, needs
from service.sources import SCOPES

# No idempotency keys: the answer would have to be stored, and tokens must not be stored.
router = APIRouter(prefix="/access", tags=["access"])


class NewToken(BaseModel):
    """A token to create."""

    name: str = Field(
        description="Whom it is for, or what.", max_length=200, pattern=NO_NUL, examples=["ward dashboard"]
    )
    scopes: list[ScopeName] = Field(min_length=1, max_length=len(SCOPES), examples=[[SCOPES[0]]])
    days: int | None = Field(default=None, ge=1, le=3_650, description="Until it expires; never unless set.")


@router.get("/tokens", **needs(Scope.ADMIN, items=TokenItem))
async def list_tokens(request: Request, api: ApiContext, limit: Limit = 100, after: After = None) -> Response:
    """List tokens, the newest first, without themselves."""
    return await listed(request, api.pool, queries.tokens(), limit=limit, after=after)


@router.post("/tokens", status_code=HTTPStatus.CREATED, **needs(Scope.ADMIN, 400, 413))
async def create_token(body: NewToken, response: Response, api: ApiContext, caller: Caller) -> MadeToken:
    """Make a token; it is shown only in this answer."""
    expires_at = datetime.now(UTC) + timedelta(days=body.days) if body.days else None
    scopes = sorted(set(body.scopes))
    token_id, token = await api.tokens.create(body.name, scopes, expires_at=expires_at)
    await api.audit.record(str(caller.token_id), "create_token", str(token_id), scopes=scopes)
    response.headers["Location"] = f"/access/tokens/{token_id}"
    return MadeToken(id=token_id, token=token, name=body.name, scopes=scopes, expires_at=expires_at)


@router.delete("/tokens/{token_id}", status_code=HTTPStatus.NO_CONTENT, **needs(Scope.ADMIN, 404))
async def revoke_token(token_id: UUID, api: ApiContext, caller: Caller) -> None:
    """Take a token back, from the next request on."""
    await api.tokens.revoke(token_id)
    await api.audit.record(str(caller.token_id), "revoke_token", str(token_id))


@router.get("/audit", **needs(Scope.ADMIN, items=AuditItem))
async def list_audit(
    request: Request,
    api: ApiContext,
    actor: Text = None,
    action: Text = None,
    since: Annotated[Moment | None, Query(description="Only from this moment on (with a zone).")] = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Who did what to what, the newest first."""
    return await listed(request, api.pool, queries.audit(actor, action, since), limit=limit, after=after)
