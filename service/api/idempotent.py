"""Supports the header `Idempotency-Key` on the POST routes of a router with `route_class=Idempotent`."""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import IO, Any

import asyncpg
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from library.access.idempotency import LEASE, Busy, Claimed, Differs, KeyedRequest, StoredAnswer
from library.warehouse.failures import DISCONNECTED
from service.api.context import Context, context_of
from service.api.problems import ApiError, Unprocessable, problems
from service.api.security import authenticated, require_scope

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_KEPT_HEADERS = ("content-type", "location")
_IN_MEMORY = 64 * 1024
_SUCCESS = 300
_DOCUMENTED = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "A request that is sent again with the same key within 24 hours gets the same answer, and "
            "is not executed again.",
            "example": "0b0f4c1e-8a86-4f3f-9d25-0c5a3e6f7a11",
            "schema": {"type": "string", "pattern": r"^[\x21-\x7e]+$", "minLength": 1, "maxLength": 255},
        }
    ]
}

type Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class UnderWay(ApiError):
    """The same request is being executed now."""

    status = HTTPStatus.CONFLICT
    default_advice = "Send the request again with the same key after `Retry-After` seconds."


class Idempotent(APIRoute):
    """A route whose POST requests are executed once for each key.

    Attributes:
        passwords: whether HTTP Basic is accepted.
    """

    passwords = False

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own forty
        if "POST" in (options.get("methods") or ()):
            options["openapi_extra"] = (options.get("openapi_extra") or {}) | _DOCUMENTED
            options["responses"] = problems(UnderWay("The same request is being executed.")) | (
                options.get("responses") or {}
            )
        super().__init__(*args, **options)

    def plain_handler(self) -> Handler:
        """The handler without idempotency keys."""
        return super().get_route_handler()

    def get_route_handler(self) -> Handler:
        """The handler with idempotency keys."""
        execute = self.plain_handler()
        extra = self.openapi_extra or {}
        scopes = [str(extra[name]) for name in ("x-scope", "x-scope-also") if name in extra]

        async def handle(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if key is None or request.method != "POST" or not scopes:
                return await execute(request)
            # Check the caller before the body is read.
            caller = await authenticated(request, passwords=self.passwords)
            for scope in scopes:
                require_scope(caller, scope)
            if not _KEY.fullmatch(key):
                raise Unprocessable(
                    f"{HEADER}: it must have 1 to 255 printable characters and no blanks.",
                    advice="Use a UUID.",
                    field=HEADER,
                )
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as body:
                attempt = KeyedRequest(caller.id, key, await _fingerprint(request, body))
                return await _execute_once(context_of(request), attempt, execute, _with_body(request, body))

        return handle


async def _execute_once(api: Context, attempt: KeyedRequest, execute: Handler, request: Request) -> Response:
    found = await api.keys.claim(attempt)
    if isinstance(found, Differs):
        raise Unprocessable(f"{HEADER}: this key was used for another request.", advice="Use a new key.", field=HEADER)
    if isinstance(found, Busy):
        raise UnderWay("The same request is being executed.", headers={"Retry-After": "1"})
    if isinstance(found, StoredAnswer):
        return Response(found.body, found.status, found.headers | {REPLAYED: "true"})
    assert isinstance(found, Claimed)  # noqa: S101 - for the type checker
    renewing = asyncio.create_task(_renew(api, attempt))
    try:
        response = await execute(request)
        if response.status_code < _SUCCESS:
            headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
            await api.keys.keep(attempt, StoredAnswer(response.status_code, headers, bytes(response.body)))
        else:
            await api.keys.give_back(attempt)
    except BaseException:
        with suppress(asyncpg.PostgresError, *DISCONNECTED):  # if this fails, the claim expires
            await asyncio.shield(api.keys.give_back(attempt))
        raise
    finally:
        renewing.cancel()
    return response


async def _renew(api: Context, attempt: KeyedRequest) -> None:
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        with suppress(asyncpg.PostgresError, *DISCONNECTED):
            await api.keys.renew(attempt)


async def _fingerprint(request: Request, body: IO[bytes]) -> bytes:
    """Hash the request and store its body. A multipart boundary is left out, since each retry has a new one."""
    found = _BOUNDARY.search(request.headers.get("content-type", ""))
    boundary = found[1].encode() if found else b""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    digest = hashlib.sha256("\0".join((request.method, request.url.path, request.url.query, kind, "")).encode())
    rest = b""
    async for chunk in request.stream():
        body.write(chunk)
        rest += chunk
        if boundary:
            *parts, rest = rest.split(boundary)
            for part in parts:
                digest.update(part)
        complete = max(0, len(rest) - len(boundary))
        digest.update(rest[:complete])
        rest = rest[complete:]
    digest.update(rest)
    return digest.digest()


def _with_body(request: Request, body: IO[bytes]) -> Request:
    """The request with the stored body, so that it can be read again."""
    body.seek(0)
    ended = False

    async def receive() -> Message:
        nonlocal ended
        if ended:
            return await request.receive()  # the next message can only be the disconnect
        chunk = body.read(_IN_MEMORY)
        ended = not chunk
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    return Request(request.scope, receive)
