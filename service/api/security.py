"""Who may call what: each route names one scope, and the OpenAPI document says which (`x-scope`)."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from library.access.tokens import Principal, Scope
from service.api.context import Context, context
from service.api.items import Items
from service.api.problems import Forbidden, Unauthenticated, problems

_bearer = HTTPBearer(auto_error=False, description="A token of `wardflow access token create`.")


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def principal(request: Request, api: Annotated[Context, Depends(context)], credentials: Credentials) -> Principal:
    """Who asks.

    Raises:
        Unauthenticated: no token, or one that is unknown, expired or revoked: the answer does not say which.
    """
    found = await api.tokens.verify(credentials.credentials) if credentials else None
    if found is None:
        raise Unauthenticated(
            "This needs a token that is known, not expired and not revoked.", headers={"WWW-Authenticate": "Bearer"}
        )
    request.state.principal = found
    return found


Caller = Annotated[Principal, Depends(principal)]
"""The caller, in routes that have to know."""


_TEXT = {"type": "string"}


def needs(
    scope: Scope,
    *statuses: int,
    also: Scope | None = None,
    items: type[BaseModel] | None = None,
    model: type[BaseModel] | None = None,
    media_type: str | None = None,
    schema: Mapping[str, Any] = _TEXT,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of a route that only bearers of a scope may call.

    Args:
        scope: what the caller's token has to have.
        statuses: of problems that the route has beside those that every route has.
        also: a second scope that it has to have.
        items: what the items of its list are; the list can be had as CSV too.
        model: what its answer is, where the route writes that itself.
        media_type: of an answer that is not JSON.
        schema: of that answer; of each event, where it is a stream of them.
        body: the OpenAPI request body of a route that reads its own.
    """

    async def check(caller: Caller) -> None:
        for each in (scope, *([also] if also else [])):
            if not caller.may(each):
                raise Forbidden(f"Your token does not have the scope '{each}'.", advice="Ask for a token that has it.")

    responses = problems(401, 403, 422, 503, *statuses)
    made: dict[str, Any] = {"dependencies": [Depends(check)], "responses": responses}
    if items is not None:
        responses[200] = {
            "description": "A page of items, or with `Accept: text/csv` all rows.",
            "content": {"text/csv": {"schema": _TEXT}},
            "headers": {"Link": {"description": "The next page, if there is one.", "schema": {"type": "string"}}},
        }
        # A class that is known only when it runs.
        made["response_model"] = Items[items]  # type: ignore[valid-type]
    if model is not None:
        made["response_model"] = model
    if media_type is not None:
        responses[200] = {"content": {media_type: {"schema": schema}}}
    made["openapi_extra"] = {"x-scope": str(scope)} | ({"requestBody": body} if body else {})
    if also:
        made["openapi_extra"]["x-scope-also"] = str(also)
    return made
