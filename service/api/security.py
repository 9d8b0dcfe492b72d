"""Who may call what: each route names one scope, and the OpenAPI document says which (`x-scope`)."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from library.access.tokens import Principal, Scope
from service.api.context import Context, context
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


def needs(
    scope: Scope,
    *statuses: int,
    also: Scope | None = None,
    csv: bool = False,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of a route that only bearers of a scope may call.

    Args:
        scope: what the caller's token has to have.
        statuses: of problems that the route has beside those that every route has.
        also: a second scope that it has to have.
        csv: whether the route's rows can be had as CSV.
        body: the OpenAPI request body of a route that reads its own.
    """

    async def check(caller: Caller) -> None:
        for each in (scope, *([also] if also else [])):
            if not caller.may(each):
                raise Forbidden(f"Your token does not have the scope '{each}'.", advice="Ask for a token that has it.")

    responses = problems(401, 403, 422, 503, *statuses)
    if csv:
        responses[200] = {"description": "Items, or with `Accept: text/csv` all rows.", "content": _ITEMS}
    extra: dict[str, Any] = {"x-scope": str(scope)} | ({"requestBody": body} if body else {})
    if also:
        extra["x-scope-also"] = str(also)
    return {"dependencies": [Depends(check)], "openapi_extra": extra, "responses": responses}


_ITEMS = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"items": {"type": "array", "items": {"type": "object"}}},
            "required": ["items"],
        }
    },
    "text/csv": {"schema": {"type": "string"}},
}
