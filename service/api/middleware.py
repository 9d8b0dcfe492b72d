"""Middleware for every request. It is plain ASGI: FastAPI's own middleware would take half of a small answer's time."""

import re
import secrets
import time
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus

import asyncpg
import structlog
from prometheus_client import Counter, Histogram
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from library.access.audit import UNKNOWN, Audit, RefusedRequest
from library.warehouse.failures import DISCONNECTED
from service.api.problems import PROBLEM, problem, unexpected

_log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_TOO_LARGE = 413
_REFUSALS = (401, 403, 429)
_BODY = 64 * 1024
"""Largest body in bytes, unless a route has its own limit."""

REQUESTS = Counter("wardflow_requests_total", "Requests, by route template.", ("method", "route", "status"))
REQUEST_SECONDS = Histogram(
    "wardflow_request_seconds", "From a request to the begin of its answer.", ("method", "route")
)


class BodyLimits:
    """Limits bodies while they are received, by path. The default is small, since the caller is not yet known then."""

    def __init__(self, app: ASGIApp, by_path: Mapping[str, int]) -> None:
        self._others = RequestBodyLimitMiddleware(app, _BODY)
        self._by_path = {path: RequestBodyLimitMiddleware(app, most) for path, most in by_path.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app with the limit of the path."""
        await self._by_path.get(scope.get("path", ""), self._others)(scope, receive, send)


class RequestLogging:
    """Gives each request an id, times and logs it with its route template, audits refusals, adds security headers.

    The query is never logged. An unexpected error becomes a problem document with the request's id, under which the log
    has the trace.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
        sender = _ResponseSender(scope, send, given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8))
        structlog.contextvars.bind_contextvars(request_id=sender.request_id)  # each request has its own task
        try:
            await self._app(scope, receive, sender.send)
        except ClientDisconnect:
            if not sender.begun:  # for the log and the metrics, since the client has left
                gone = problem(HTTPStatus.BAD_REQUEST, "ClientLeft", "The connection ended before the body did.")
                await gone(scope, receive, sender.send)
        except Exception as error:
            if sender.begun:
                raise
            await unexpected(error)(scope, receive, sender.send)


class _ResponseSender:
    """Sends the response of one request, and logs it."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.begun = False
        self._scope = scope
        self._send = send
        self._replaced = False
        self._began = time.monotonic()

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            if not self._replaced:
                await self._send(message)
            return
        headers = message["headers"] = list(message.get("headers", ()))
        if message["status"] == _TOO_LARGE and (b"content-type", PROBLEM.encode()) not in headers:
            # Replace the framework's plain answer by a problem document.
            await self._replace(HTTPStatus(_TOO_LARGE), "TooLarge", "The body is larger than this route allows.")
            return
        if message["status"] in _REFUSALS and not await self._audited(int(message["status"])):
            detail = "Postgres does not answer, so the refused request cannot be written to the audit."
            await self._replace(HTTPStatus.SERVICE_UNAVAILABLE, "AuditUnavailable", detail, {"Retry-After": "5"})
            return
        self.begun = True
        headers.append((b"x-request-id", self.request_id.encode()))
        there = {name for name, _ in headers}
        headers += [header for header in _SECURITY_HEADERS if header[0] not in there]
        self._record(int(message["status"]))
        await self._send(message)

    async def _replace(
        self, status: HTTPStatus, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        await problem(status, kind, detail, headers=headers)(self._scope, _nothing, self.send)
        self._replaced = True

    async def _audited(self, status: int) -> bool:
        """Write a refused request to the audit before the answer is sent. Return whether that was possible."""
        audit: Audit = self._scope["app"].state.context.audit
        caller = self._scope.get("state", {}).get("principal")
        actor = UNKNOWN if caller is None else str(caller.token_id)
        address = (self._scope.get("client") or ("",))[0]
        try:
            await audit.refused(RefusedRequest(actor, self._scope["method"], self._route, status, address))
        except (asyncpg.PostgresError, *DISCONNECTED):
            return False
        return True

    def _record(self, status: int) -> None:
        method, route = self._scope["method"], self._route
        seconds = time.monotonic() - self._began
        counter, histogram = _metrics(method, route, status)
        counter.inc()
        histogram.observe(seconds)
        _log.info("request", method=method, route=route, status=status, seconds=round(seconds, 4))

    @property
    def _route(self) -> str:
        return getattr(self._scope.get("route"), "path", "none")


@lru_cache(maxsize=1_000)
def _metrics(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), REQUEST_SECONDS.labels(method, route)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
