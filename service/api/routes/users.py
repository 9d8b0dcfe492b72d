"""`/access/users` and `/access/grants`: the users who post records, and their grants."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from library.access import questions
from library.access.users import LONGEST_PASSWORD, NAME, SHORTEST_PASSWORD, NoSuchUser, UserExists, Users
from library.contracts.scopes import Scope
from service.api.context import ApiContext
from service.api.items import MadeToken
from service.api.names import one_of
from service.api.questions import list_route
from service.api.security import Caller, needs
from service.sources import POSTING_APIS

# No idempotency keys: the answer would have to be stored, and tokens must not be stored.
router = APIRouter(prefix="/access", tags=["access"])
ApiName = Annotated[str, InPath(description="The API."), *one_of(POSTING_APIS)]
Name = Annotated[str, InPath(description="The user's name.", pattern=f"^{NAME}$", examples=["st-elsewhere"])]


_UNKNOWN = NoSuchUser("There is no user with this name.")
"""The example of an unknown user."""


class NewUser(BaseModel):
    """A user to create. New users have no grants."""

    name: str = Field(pattern=f"^{NAME}$", examples=["st-elsewhere"])
    password: str | None = Field(
        default=None,
        min_length=SHORTEST_PASSWORD,
        max_length=LONGEST_PASSWORD,
        description="For HTTP Basic; without it only tokens let the user in.",
    )


class MadeUser(BaseModel):
    """A user."""

    id: UUID
    name: str


class Change(BaseModel):
    """What is to be changed of a user, from the next request on."""

    password: str | None = Field(default=None, min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)
    disabled: bool | None = Field(default=None, description="Whether neither password nor tokens count.")


class NewUserToken(BaseModel):
    """A token to create. It has the grants of its user."""

    days: int | None = Field(default=None, ge=1, le=3_650, description="Until it expires; never unless set.")


list_route(router, "/users", questions.USERS, name="list_users")


@router.post(
    "/users",
    status_code=HTTPStatus.CREATED,
    **needs(Scope.ADMIN, 400, UserExists("There is already a user with this name."), 413),
)
async def create_user(body: NewUser, api: ApiContext, caller: Caller) -> MadeUser:
    """Make a user."""
    user_id = await Users(api.pool).create(body.name, body.password)
    await api.audit.record(str(caller.token_id), "create_user", str(user_id))
    return MadeUser(id=user_id, name=body.name)


@router.patch("/users/{name}", status_code=HTTPStatus.NO_CONTENT, **needs(Scope.ADMIN, 400, _UNKNOWN, 413))
async def change_user(name: Name, body: Change, api: ApiContext, caller: Caller) -> None:
    """Give a user another password, or disable or enable one."""
    users = Users(api.pool)
    user_id = str(await users.id_of(name))
    if body.password is not None:
        await users.set_password(name, body.password)
        await api.audit.record(str(caller.token_id), "set_password", user_id)
    if body.disabled is not None:
        await (users.disable if body.disabled else users.enable)(name)
        await api.audit.record(str(caller.token_id), "disable_user" if body.disabled else "enable_user", user_id)


@router.post("/users/{name}/tokens", status_code=HTTPStatus.CREATED, **needs(Scope.ADMIN, 400, _UNKNOWN, 413))
async def create_token(
    name: Name, body: NewUserToken, response: Response, api: ApiContext, caller: Caller
) -> MadeToken:
    """Make a token of a user; it is shown only in this answer, and taken back as every token is."""
    expires_at = datetime.now(UTC) + timedelta(days=body.days) if body.days else None
    user_id = await Users(api.pool).id_of(name)
    token_id, token = await api.tokens.create(name, [], expires_at=expires_at, user_id=user_id)
    await api.audit.record(str(caller.token_id), "create_token", str(token_id), user=str(user_id))
    response.headers["Location"] = f"/access/tokens/{token_id}"
    return MadeToken(id=token_id, token=token, name=name, scopes=[], expires_at=expires_at)


list_route(router, "/grants", questions.GRANTS, name="list_grants")


@router.put("/grants/{name}/{api}", status_code=HTTPStatus.NO_CONTENT, **needs(Scope.ADMIN, _UNKNOWN))
async def grant(name: Name, api: ApiName, caller: Caller, of: ApiContext) -> None:
    """Let a user post to an API, from the next request on."""
    await Users(of.pool).grant(name, api)
    await of.audit.record(str(caller.token_id), "grant", str(await Users(of.pool).id_of(name)), api=api)


@router.delete("/grants/{name}/{api}", status_code=HTTPStatus.NO_CONTENT, **needs(Scope.ADMIN, _UNKNOWN))
async def ungrant(name: Name, api: ApiName, caller: Caller, of: ApiContext) -> None:
    """Let a user no longer post to an API, from the next request on."""
    await Users(of.pool).ungrant(name, api)
    await of.audit.record(str(caller.token_id), "ungrant", str(await Users(of.pool).id_of(name)), api=api)
