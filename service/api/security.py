"""Who may call what: each route names one scope, and the OpenAPI document says which (`x-scope`)."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBearer
from pydantic import BaseModel

from library.access.tokens import Principal
from service.api.context import context_of
from service.api.items import Items
from service.api.parameters import refuse_unknown
from service.api.problems import Forbidden, Unauthenticated, problems

bearer = HTTPBearer(auto_error=False, description="A token of `wardflow access token create` or `… user token`.")
basic = HTTPBasic(auto_error=False, description="Name and password of a user, for posting records.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def authenticated(request: Request, *, passwords: bool = False) -> Principal:
    """Who asks; looked up once in each request.

    Args:
        request: whose `Authorization` counts.
        passwords: whether HTTP Basic may say it.

    Raises:
        Unauthenticated: no credentials, or some that do not count: the answer does not say why.
        SlowedDown: too many sign-ins have failed before.
        SignInsBusy: too many passwords are waiting to be checked.
        AccessUnknown: Postgres does not answer.
    """
    found: Principal | None = getattr(request.state, "principal", None) or await _known(request, passwords)
    if found is None:
        raise Unauthenticated(
            f"This needs a token that is known, not expired and not revoked{', or a password' * passwords}.",
            headers={"WWW-Authenticate": 'Bearer, Basic realm="wardflow", charset="UTF-8"' if passwords else "Bearer"},
        )
    request.state.principal = found
    return found


async def _known(request: Request, passwords: bool) -> Principal | None:
    api = context_of(request)
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return await api.tokens.verify(given.strip())
    if kind.lower() == "basic" and passwords:
        try:
            name, parted, password = b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return None
        address = request.client.host if request.client else ""
        return await api.sign_ins.verify(name, password, address) if parted else None
    return None


def refuse_unless(caller: Principal, scope: str) -> None:
    """Refuse who may not.

    Raises:
        Forbidden: the caller has neither the scope nor, for `post:{api}`, the grant.
    """
    if caller.may(scope):
        return
    kind, _, api = scope.partition(":")
    if kind == "post":
        raise Forbidden(f"You are not granted the API '{api}'.", advice="Ask for it: `wardflow access grant` gives it.")
    raise Forbidden(f"Your token does not have the scope '{scope}'.", advice="Ask for a token that has it.")


async def principal(request: Request, _: Credentials) -> Principal:
    """Who asks, by a token.

    Raises:
        Unauthenticated: no token, or one that is unknown, expired or revoked.
    """
    return await authenticated(request)


Caller = Annotated[Principal, Depends(principal)]
"""The caller, in routes that have to know."""


_TEXT = {"type": "string"}


def needs(
    scope: str,
    *statuses: int,
    also: str | None = None,
    items: type[BaseModel] | None = None,
    model: type[BaseModel] | None = None,
    media_types: Sequence[str] = (),
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
        media_types: of an answer that is not JSON.
        schema: of that answer; of each event, where it is a stream of them.
        body: the OpenAPI request body of a route that reads its own.
    """

    async def check(caller: Caller) -> None:
        for each in (scope, *([also] if also else [])):
            refuse_unless(caller, each)

    responses = problems(401, 403, 422, 503, *statuses)
    made: dict[str, Any] = {"dependencies": [Depends(check), Depends(refuse_unknown)], "responses": responses}
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
    if media_types:
        responses[200] = {"content": {each: {"schema": schema} for each in media_types}}
    made["openapi_extra"] = {"x-scope": str(scope)} | ({"requestBody": body} if body else {})
    if also:
        made["openapi_extra"]["x-scope-also"] = str(also)
    return made
