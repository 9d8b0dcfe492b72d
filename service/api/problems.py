"""Errors as problem documents (RFC 9457): what is wrong, where, what to do."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from library.access.tokens import AccessUnknown, NoSuchToken
from library.access.users import NoSuchUser, NotAName, NotAPassword, SlowedDown, UserExists
from library.contracts.drains import OffsetNotHeld, StreamUnknown
from library.contracts.errors import ConfigurationError, ObjectMissing, WardflowError
from library.contracts.origins import DatasetUnknown, NoSuchRow, NotAKey, RecordNotInLake
from library.contracts.reading import FileRejected
from library.contracts.streams import KafkaRefused, KafkaTurnedOff, TopicMissing
from library.contracts.web import UrlNotAllowed
from library.warehouse.queries.pages import CursorInvalid
from service.posts import NotRecords, TooFast
from service.repeats import NothingToRepeat, NotRepeatable, RunSuperseded
from service.sources import SOURCES
from service.temporal import TemporalRefused

_log = structlog.get_logger(__name__)
_RETRY_AFTER = 5
PROBLEM = "application/problem+json"


class Problem(BaseModel):
    """A problem document, media type `application/problem+json`."""

    type: str = Field(description="The error's name, stable for programs.", examples=["NotFound"])
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What is wrong, for a person.", examples=["There is no run with this id."])
    advice: str = Field(default="", description="What to do about it.")
    field: str | None = Field(default=None, description="The parameter, header or field of the body that is wrong.")
    servers: list[str] | None = Field(default=None, description="Those among which the caller has to choose.")


class ApiError(WardflowError):
    """An error of a request.

    Attributes:
        status: the status of the answer.
        field: the wrong parameter.
        headers: headers of the answer.
        servers: the servers among which the caller must choose.
    """

    status = HTTPStatus.BAD_REQUEST

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        servers: Sequence[str] | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.field = field
        self.headers = dict(headers or {})
        self.servers = None if servers is None else list(servers)


class NotFound(ApiError):
    """There is no object with this id."""

    status = HTTPStatus.NOT_FOUND


class Unauthenticated(ApiError):
    """There are no valid credentials."""

    status = HTTPStatus.UNAUTHORIZED
    default_advice = "Send `Authorization: Bearer <token>`; `wardflow access token create` makes one."


class Forbidden(ApiError):
    """The token lacks the scope."""

    status = HTTPStatus.FORBIDDEN


class Unprocessable(ApiError):
    """A parameter is not valid."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class UnsupportedMediaType(ApiError):
    """The route does not accept this type of body."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


_STATUS: Mapping[type[WardflowError], HTTPStatus] = {
    FileRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    UrlNotAllowed: HTTPStatus.UNPROCESSABLE_ENTITY,
    CursorInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    ObjectMissing: HTTPStatus.NOT_FOUND,
    DatasetUnknown: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotAKey: HTTPStatus.UNPROCESSABLE_ENTITY,
    NoSuchRow: HTTPStatus.NOT_FOUND,
    RecordNotInLake: HTTPStatus.NOT_FOUND,
    StreamUnknown: HTTPStatus.NOT_FOUND,
    TopicMissing: HTTPStatus.NOT_FOUND,
    KafkaRefused: HTTPStatus.SERVICE_UNAVAILABLE,
    OffsetNotHeld: HTTPStatus.UNPROCESSABLE_ENTITY,
    ConfigurationError: HTTPStatus.SERVICE_UNAVAILABLE,
    TemporalRefused: HTTPStatus.SERVICE_UNAVAILABLE,
    NoSuchUser: HTTPStatus.NOT_FOUND,
    UserExists: HTTPStatus.CONFLICT,
    NotAName: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotAPassword: HTTPStatus.UNPROCESSABLE_ENTITY,
    SlowedDown: HTTPStatus.TOO_MANY_REQUESTS,
    TooFast: HTTPStatus.TOO_MANY_REQUESTS,
    NotRecords: HTTPStatus.UNPROCESSABLE_ENTITY,
    NoSuchToken: HTTPStatus.NOT_FOUND,
    NothingToRepeat: HTTPStatus.CONFLICT,
    RunSuperseded: HTTPStatus.CONFLICT,
    NotRepeatable: HTTPStatus.CONFLICT,
    **{kind: status for source in SOURCES for kind, status in source.statuses.items()},
}
"""The status of error types and their subclasses. The nearest type counts."""


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    @app.exception_handler(WardflowError)
    async def ours(_: Request, error: WardflowError) -> JSONResponse:
        return problem_of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field, said = misfit(first["type"], first["msg"], first["loc"][1:] or first["loc"])
        is_json = field != "body" or "json" in request.headers.get("content-type", "")
        advice = "" if is_json else "Send it as JSON, with `Content-Type: application/json`."
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Unprocessable", f"{field}: {said}.", advice, field=field)

    @app.exception_handler(HTTPException)
    async def framework(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        return problem(status, status.phrase.title().replace(" ", ""), str(error.detail), headers=error.headers or {})


def misfit(kind: str, message: str, place: Sequence[object]) -> tuple[str, str]:
    """The wrong field and the reason, from an error of pydantic or FastAPI.

    Places in lists count from 1, as all that people count here: `zipcodes.2` is the second one.
    """
    if kind == "json_invalid":
        return "body", "no JSON, or cut off"
    field = ".".join(str(part + 1 if isinstance(part, int) else part) for part in place) or "body"
    return field, message.removeprefix("Value error, ")  # pydantic's prefix for errors of our validators


def problem_of(error: WardflowError) -> JSONResponse:
    """The answer to an error of ours."""
    document = document_of(error)
    headers = dict(error.headers) if isinstance(error, ApiError) else {}
    # With Kafka turned off a repeat does not help before somebody changes the setting.
    repeat_helps = not isinstance(error, ApiError | KafkaTurnedOff)
    if document.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS) and repeat_helps:
        headers["Retry-After"] = f"{math.ceil(error.retry_after or _RETRY_AFTER)}"
    return _answer(document, headers)


def document_of(error: WardflowError) -> Problem:
    """The problem document of an error of ours."""
    if isinstance(error, ApiError):
        status = error.status
    elif error.retryable:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    else:
        status = next(
            (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), HTTPStatus.INTERNAL_SERVER_ERROR
        )
    return Problem(
        type=type(error).__name__,
        title=status.phrase,
        status=status,
        detail=error.message,
        advice=error.advice,
        field=getattr(error, "field", None),
        servers=getattr(error, "servers", None),
    )


def unexpected(error: Exception) -> JSONResponse:
    """The answer to an unexpected error. The log has its trace."""
    _log.error("request failed", error=type(error).__name__, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Unexpected",
        "The request failed because of an unexpected error.",
        "The API's log has the trace under this answer's X-Request-Id.",
    )


def problem(
    status: HTTPStatus,
    kind: str,
    detail: str,
    advice: str = "",
    field: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """A problem document."""
    return _answer(
        Problem(type=kind, title=status.phrase, status=status, detail=detail, advice=advice, field=field),
        headers or {},
    )


def _answer(document: Problem, headers: Mapping[str, Any]) -> JSONResponse:
    return JSONResponse(document.model_dump(exclude_none=True), document.status, dict(headers), media_type=PROBLEM)


def problems(*errors: HTTPStatus | int | WardflowError) -> dict[int | str, dict[str, Any]]:
    """Responses for the OpenAPI document.

    Args:
        errors: errors that are the examples of their statuses, or statuses whose example is the same for all routes.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for each in errors:
        example = document_of(each) if isinstance(each, WardflowError) else _EXAMPLES[int(each)]
        content = {"schema": Problem.model_json_schema(), "example": example.model_dump(exclude_none=True)}
        responses[example.status] = {
            "content": {PROBLEM: content},
            "description": HTTPStatus(example.status).phrase,
        }
    return responses


def _of_the_framework(status: HTTPStatus, kind: str, detail: str) -> Problem:
    return Problem(type=kind, title=status.phrase, status=status, detail=detail)


_EXAMPLES: Mapping[int, Problem] = {
    each.status: each
    for each in (
        _of_the_framework(HTTPStatus.BAD_REQUEST, "BadRequest", "There was an error parsing the body"),
        document_of(Unauthenticated("This needs a valid token (not expired, not revoked).")),
        document_of(Forbidden("Your token does not have the scope 'operate'.", advice="Ask for a token that has it.")),
        _of_the_framework(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", "The body is larger than this route allows."
        ),
        document_of(UnsupportedMediaType("The body is no multipart/form-data.", advice="Send it as the part `file`.")),
        document_of(Unprocessable("colour: none of the parameters here.", field="colour")),
        document_of(SlowedDown(30.0)),
        document_of(AccessUnknown("The token cannot be looked up: Postgres does not answer in time.")),
    )
}
"""By status, the example of routes that name none of their own."""
