"""`/access`: tokens, and the audit."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from library.access import questions
from library.access.tokens import NoSuchToken
from library.contracts.scopes import Scope
from library.warehouse.queries.parameters import NO_NUL
from service.api.context import ApiContext
from service.api.items import MadeToken, ScopeName
from service.api.questions import list_route
from service.api.security import Caller, needs
from service.sources import SCOPES

# No idempotency keys: the answer would have to be stored, and tokens must not be stored.
router = APIRouter(prefix="/access", tags=["access"])


TokenId = Annotated[UUID, Path(description="The token's id.", examples=["7b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11"])]


class NewToken(BaseModel):
    """A token to create."""

    name: str = Field(
        description="Whom it is for, or what.", max_length=200, pattern=NO_NUL, examples=["ward dashboard"]
    )
    scopes: list[ScopeName] = Field(min_length=1, max_length=len(SCOPES), examples=[[SCOPES[0]]])
    days: int | None = Field(default=None, ge=1, le=3_650, description="Until it expires; never unless set.")


list_route(router, "/tokens", questions.TOKENS, name="list_tokens")


@router.post("/tokens", status_code=HTTPStatus.CREATED, **needs(Scope.ADMIN, 400, 413))
async def create_token(body: NewToken, response: Response, api: ApiContext, caller: Caller) -> MadeToken:
    """Make a token; it is shown only in this answer."""
    expires_at = datetime.now(UTC) + timedelta(days=body.days) if body.days else None
    scopes = sorted(set(body.scopes))
    token_id, token = await api.tokens.create(body.name, scopes, expires_at=expires_at)
    await api.audit.record(str(caller.token_id), "create_token", str(token_id), scopes=scopes)
    response.headers["Location"] = f"/access/tokens/{token_id}"
    return MadeToken(id=token_id, token=token, name=body.name, scopes=scopes, expires_at=expires_at)


@router.delete(
    "/tokens/{token_id}",
    status_code=HTTPStatus.NO_CONTENT,
    **needs(Scope.ADMIN, NoSuchToken("There is no token with the id 7b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11.")),
)
async def revoke_token(
    token_id: TokenId,
    api: ApiContext,
    caller: Caller,
) -> None:
    """Take a token back, from the next request on."""
    await api.tokens.revoke(token_id)
    await api.audit.record(str(caller.token_id), "revoke_token", str(token_id))


list_route(router, "/audit", questions.AUDIT, name="list_audit")
