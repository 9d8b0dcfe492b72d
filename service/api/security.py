"""Authentication and scopes. Each route needs one scope, which is in the OpenAPI document (`x-scope`).

A route for rows of any dataset needs the scope of the dataset that is asked for (`x-scope-by-dataset`).
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBearer
from pydantic import BaseModel

from library.access.tokens import Principal
from library.contracts.errors import WardflowError
from service.api.context import context_of
from service.api.items import Items
from service.api.parameters import refuse_unknown
from service.api.problems import Forbidden, Unauthenticated, problems
from service.sources import DATASETS, dataset_called

bearer = HTTPBearer(auto_error=False, description="A token of `wardflow access token create` or `… user token`.")
basic = HTTPBasic(auto_error=False, description="Name and password of a user, for posting records.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def authenticated(request: Request, *, passwords: bool = False) -> Principal:
    """The caller of a request. It is looked up once for each request.

    Args:
        request: the request with the header `Authorization`.
        passwords: whether HTTP Basic is accepted.

    Raises:
        Unauthenticated: there are no valid credentials. The answer does not state the reason.
        SlowedDown: too many sign-ins have failed.
        SignInsBusy: too many passwords wait to be checked.
        AccessUnknown: Postgres does not answer.
    """
    found: Principal | None = getattr(request.state, "principal", None) or await _look_up(request, passwords)
    if found is None:
        raise Unauthenticated(
            f"This needs a valid token (not expired, not revoked){', or a password' * passwords}.",
            headers={"WWW-Authenticate": 'Bearer, Basic realm="wardflow", charset="UTF-8"' if passwords else "Bearer"},
        )
    request.state.principal = found
    return found


async def _look_up(request: Request, passwords: bool) -> Principal | None:
    api = context_of(request)
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return await api.tokens.verify(given.strip())
    if kind.lower() == "basic" and passwords:
        try:
            name, colon, password = b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return None
        address = request.client.host if request.client else ""
        return await api.sign_ins.verify(name, password, address) if colon else None
    return None


def require_scope(caller: Principal, scope: str) -> None:
    """Check that the caller has a scope.

    Raises:
        Forbidden: the caller does not have the scope or, for `post:{api}`, the grant.
    """
    if caller.may(scope):
        return
    raise forbidden(scope)


def forbidden(scope: str) -> Forbidden:
    """The error of a caller without the scope or, for `post:{api}`, without the grant."""
    kind, _, api = scope.partition(":")
    if kind == "post":
        return Forbidden(
            f"You are not granted the API '{api}'.", advice="Ask for it: `wardflow access grant` grants it."
        )
    return Forbidden(f"Your token does not have the scope '{scope}'.", advice="Ask for a token that has it.")


async def principal(request: Request, _: Credentials) -> Principal:
    """The caller with a token.

    Raises:
        Unauthenticated: there is no token, or it is unknown, expired or revoked.
    """
    return await authenticated(request)


Caller = Annotated[Principal, Depends(principal)]
"""The caller, for routes that need it."""


_TEXT = {"type": "string"}

BY_DATASET: Mapping[str, str] = {name: str(source.scope) for name, (source, _) in DATASETS.items()}
"""The scope that the rows of each dataset need."""

DatasetName = Annotated[
    str,
    Query(
        description="The dataset of the row: schema and table.",
        examples=[next(iter(BY_DATASET))],
        json_schema_extra={"enum": [*BY_DATASET]},
    ),
]
"""The parameter `dataset` of routes for rows of any dataset."""


async def _check_by_dataset(caller: Caller, dataset: DatasetName) -> None:
    dataset_called(dataset)
    require_scope(caller, BY_DATASET[dataset])


def needs(
    scope: str | Mapping[str, str],
    *errors: int | WardflowError,
    also: str | None = None,
    items: type[BaseModel] | None = None,
    model: type[BaseModel] | None = None,
    media_types: Sequence[str] = (),
    events: type[BaseModel] | None = None,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of a route that needs a scope.

    Args:
        scope: the scope that the caller must have; or `BY_DATASET`, for a route with the parameter `dataset`.
        errors: further errors of this route as examples, or their statuses; see `problems`.
        also: a second scope that the caller must have.
        items: the type of the list's items. The list is also available as CSV.
        model: the type of the answer, if the route returns its own response.
        media_types: the media types of an answer that is not JSON.
        events: the type of each event, if the answer is an event stream.
        body: the OpenAPI request body of a route that reads the body itself.
    """
    required = [each for each in (scope, also) if isinstance(each, str)]

    async def check(caller: Caller) -> None:
        for each in required:
            require_scope(caller, each)

    example = forbidden(scope if isinstance(scope, str) else next(iter(scope.values())))
    responses = problems(401, example, 422, 503, *errors)
    check_scope = check if isinstance(scope, str) else _check_by_dataset
    made: dict[str, Any] = {"dependencies": [Depends(check_scope), Depends(refuse_unknown)], "responses": responses}
    if items is not None:
        responses[200] = {
            "description": "A page of items, or with `Accept: text/csv` all rows.",
            "content": {"text/csv": {"schema": _TEXT}},
            "headers": {"Link": {"description": "The next page, if there is one.", "schema": {"type": "string"}}},
        }
        # The class is known only at run time.
        made["response_model"] = Items[items]  # type: ignore[valid-type]
    if model is not None:
        made["response_model"] = model
    if media_types:
        responses[200] = {"content": {each: {"schema": _TEXT} for each in media_types}}
    if events is not None:
        # As OpenAPI 3.2 and FastAPI have it: `schema` would be that of the whole stream.
        responses[200] = {"content": {"text/event-stream": {"itemSchema": events.model_json_schema()}}}
    scopes = {"x-scope": str(scope)} if isinstance(scope, str) else {"x-scope-by-dataset": dict(scope)}
    made["openapi_extra"] = scopes | ({"requestBody": body} if body else {})
    if also:
        made["openapi_extra"]["x-scope-also"] = str(also)
    return made
