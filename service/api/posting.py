"""`POST /api_{name}` of every posting API: users with a grant post records."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from config.sections import LONGEST_POST
from config.settings import Settings
from library.access.rates import Rates
from library.contracts.errors import WardflowError
from library.contracts.streams import KafkaTurnedOff
from library.reading.records import FieldError
from library.streams.producer import Producer
from service.api.context import context_of
from service.api.idempotent import HEADER, Handler, Idempotent
from service.api.middleware import RequestLogging
from service.api.problems import PROBLEM, Problem, problem_of, problems
from service.api.security import authenticated, basic, bearer, forbidden, require_scope
from service.posts import PostingApi, Posts, RecordsRefused, posting_apis
from service.resources import kafka_connection

BODY = 4 * 1024 * 1024
"""Largest list of records in bytes."""


class Place(BaseModel):
    """A record's place in Kafka, on all in-sync replicas."""

    topic: str = Field(examples=["patient"])
    partition: int = Field(examples=[2])
    offset: int = Field(examples=[4711])


class Posted(BaseModel):
    """The accepted records, in the order of the request."""

    items: list[Place]


class RecordError(BaseModel):
    """An error of a field of a record."""

    record: int = Field(description="The record's place in the list, counted from 1.", examples=[1])
    field: str | None = Field(description="Its field; null: the record as a whole.", examples=["date_of_birth"])
    detail: str = Field(examples=["is not a time as 2024-12-31 23:59:59.000, in ISO 8601, or 12/31/2024"])


class RecordsProblem(Problem):
    """A problem document with every error of every bad record."""

    errors: list[RecordError] = Field(default_factory=list)


class Posting(Idempotent):
    """A route whose function gets the request itself."""

    passwords = True

    def plain_handler(self) -> Handler:
        """The route's function, after the checks of credentials and grant."""
        scope, execute = (self.openapi_extra or {})["x-scope"], self.endpoint

        async def handle(request: Request) -> Response:
            require_scope(await authenticated(request, passwords=True), scope)
            response: Response = await execute(request)
            return response

        return handle


router = APIRouter(route_class=Posting)


class FastPostMiddleware:
    """Calls the function of a post route directly, without FastAPI's routing and dependencies.

    FastAPI's part takes more CPU time than reading the record, checking its sender and sending it to Kafka together
    (decision 50). This way the API reaches 0.79 of the posts a second of a bare endpoint (6,329 : 8,026; the bound of
    `tests/benchmarks/test_records_api.py` is 0.7). Posts with an `Idempotency-Key`, and other requests on these paths,
    use FastAPI. Both ways have the same logging and limits.
    """

    def __init__(self, framework: ASGIApp) -> None:
        self._framework = framework
        self._fast = RequestLogging(RequestBodyLimitMiddleware(self._answer, BODY))
        self._routes = {
            route.path: (route, route.plain_handler()) for route in router.routes if isinstance(route, Posting)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose between the fast way and FastAPI."""
        posted = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._routes
        if posted and all(name != _KEY for name, _ in scope["headers"]):
            await self._fast(scope, receive, send)
        else:
            await self._framework(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"], execute = self._routes[scope["path"]]
        try:
            response = await execute(Request(scope, receive))
        except WardflowError as error:
            response = problem_of(error)
        await response(scope, receive, send)


_KEY = HEADER.lower().encode()


@asynccontextmanager
async def opened_posts(settings: Settings) -> AsyncIterator[Posts]:
    """Open the connection to Kafka for posts. Kafka may start later."""
    limits = settings.records
    async with Producer(kafka_connection(settings), deliver_within=limits.deliver_within) as producer:
        rates = Rates(per_second=limits.per_second, burst=limits.burst)
        yield Posts(producer, settings, rates, limits.under_way)


def _endpoint(api: PostingApi) -> Callable[[Request], Any]:
    async def post(request: Request) -> Response:
        posts = context_of(request).posts
        if posts is None:
            raise KafkaTurnedOff("at this API")
        try:
            accepted = await posts.post(api, request.state.principal, await request.body())
        except RecordsRefused as refused:
            return _refused(refused)
        return Response(msgspec.json.encode({"items": accepted}), HTTPStatus.ACCEPTED, media_type="application/json")

    return post


def _refused(refused: RecordsRefused) -> Response:
    return JSONResponse(_document(refused), HTTPStatus.UNPROCESSABLE_ENTITY, media_type=PROBLEM)


def _document(refused: RecordsRefused) -> dict[str, Any]:
    errors = [
        RecordError(record=place, field=each.field or None, detail=each.text)
        for place, found in refused.errors.items()
        for each in found
    ]
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    document = RecordsProblem(
        type=type(refused).__name__,
        title=status.phrase,
        status=status,
        detail=refused.message,
        advice=refused.advice,
        field=errors[0].field,
        errors=errors,
    )
    return document.model_dump()


def _body(api: PostingApi) -> dict[str, Any]:
    """The request body for the OpenAPI document, made from the types that read it."""
    wire = api.wire
    _, schemas = msgspec.json.schema_components([wire])
    one = schemas[wire.__name__]
    some = {"type": "array", "items": one, "minItems": 1, "maxItems": LONGEST_POST}
    return {"content": {"application/json": {"schema": {"oneOf": [one, some]}}}, "required": True}


def _responses(scope: str) -> dict[int | str, dict[str, Any]]:
    document = Problem.model_json_schema()
    document["properties"]["errors"] = {"type": "array", "items": RecordError.model_json_schema()}
    example = _document(RecordsRefused({1: [FieldError("date_of_birth", "is not a time in ISO 8601")]}))
    content = {PROBLEM: {"schema": document, "example": example}}
    refused = {"content": content, "description": "Bad records. No record was sent."}
    return problems(401, forbidden(scope), 413, 429, 503) | {422: refused}


for _api in posting_apis():
    router.add_api_route(
        _api.path,
        _endpoint(_api),
        methods=["POST"],
        tags=[_api.tag],
        status_code=HTTPStatus.ACCEPTED,
        response_model=Posted,
        summary=f"Post {_api.name.replace('_', ' ')}",
        description=f"One record, or a list of up to {LONGEST_POST:,}. 202 means that all in-sync replicas (at least a "
        "majority) have all records. 503 means that some may be stored; send the request again, since a record that is "
        "sent twice changes nothing.",
        operation_id=f"post_{_api.name}",
        responses=_responses(_api.scope),
        dependencies=[Depends(bearer), Depends(basic)],  # for the OpenAPI document
        openapi_extra={"x-scope": _api.scope, "requestBody": _body(_api)},
    )
