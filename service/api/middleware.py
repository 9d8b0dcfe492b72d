"""What surrounds every request. Plain ASGI: a middleware function of the framework's costs half of a small answer."""

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
"""Bytes of a body at most, of a route that says nothing else."""

REQUESTS = Counter("wardflow_requests_total", "Requests, by route template.", ("method", "route", "status"))
REQUEST_SECONDS = Histogram(
    "wardflow_request_seconds", "From a request to the begin of its answer.", ("method", "route")
)


class BodyLimits:
    """Bounds bodies while they stream in, by path: most are small, and are read before the caller is known."""

    def __init__(self, app: ASGIApp, by_path: Mapping[str, int]) -> None:
        self._others = RequestBodyLimitMiddleware(app, _BODY)
        self._by_path = {path: RequestBodyLimitMiddleware(app, most) for path, most in by_path.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with this path's limit."""
        await self._by_path.get(scope.get("path", ""), self._others)(scope, receive, send)


class Around:
    """Names each request, times it, logs it by its route's template (never its query), adds security headers.

    What nobody foresaw becomes a problem document here, so that it too has the id under which the log has its trace.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
        answer = _Answer(scope, send, given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8))
        structlog.contextvars.bind_contextvars(request_id=answer.request_id)  # a request has a task of its own
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            if not answer.begun:  # nobody hears it; the log and the metrics do
                gone = problem(HTTPStatus.BAD_REQUEST, "ClientLeft", "The connection ended before the body did.")
                await gone(scope, receive, answer.send)
        except Exception as error:
            if answer.begun:
                raise
            await unexpected(error)(scope, receive, answer.send)


class _Answer:
    """An answer on its way out."""

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
            # The limit is the framework's, and so is its plain answer.
            await self._instead(HTTPStatus(_TOO_LARGE), "TooLarge", "The body is larger than this route takes.")
            return
        if message["status"] in _REFUSALS and not await self._audited(int(message["status"])):
            detail = "Postgres does not answer, and what is refused has to be written down."
            await self._instead(HTTPStatus.SERVICE_UNAVAILABLE, "AuditUnavailable", detail, {"Retry-After": "5"})
            return
        self.begun = True
        headers.append((b"x-request-id", self.request_id.encode()))
        there = {name for name, _ in headers}
        headers += [header for header in _SECURITY_HEADERS if header[0] not in there]
        self._record(int(message["status"]))
        await self._send(message)

    async def _instead(
        self, status: HTTPStatus, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        await problem(status, kind, detail, headers=headers)(self._scope, _nothing, self.send)
        self._replaced = True

    async def _audited(self, status: int) -> bool:
        """Write a refusal into the audit, before anybody hears of it; whether that was possible."""
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
