"""What surrounds every request: its name, time and line in the log, the audit of refusals, headers for browsers."""

import re
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus

import asyncpg
import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from library.access.audit import UNKNOWN, Audit, Refusal
from library.warehouse.failures import DISCONNECTED
from service.api.problems import PROBLEM, problem

_log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_POLICY = "content-security-policy"
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    _POLICY: "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
_TOO_LARGE = 413
_REFUSALS = (401, 403, 429)
_BODY = 64 * 1024
"""Bytes of a body at most, of a route that says nothing else."""
_DOCS = ("/docs", "/openapi.json")

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
    """Names the request, times it, logs it by its route's template (never its query), adds security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            await self._app(scope, receive, answer.send)


class _Answer:
    """The answer to one request, on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self._scope, self._receive, self._send = scope, receive, send
        self._began = time.monotonic()
        self._replaced = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
        elif not self._replaced:
            await self._send(message)

    async def _start(self, message: Message) -> None:
        status = int(message["status"])
        if status == _TOO_LARGE and Headers(raw=message["headers"]).get("content-type") != PROBLEM:
            # The limit is the framework's, and so is its plain answer.
            await self._instead(HTTPStatus(_TOO_LARGE), "TooLarge", "The body is larger than this route takes.")
            return
        if status in _REFUSALS:
            try:
                await self._audited(status)
            except (asyncpg.PostgresError, *DISCONNECTED):
                detail = "Postgres does not answer, and what is refused has to be written down."
                await self._instead(HTTPStatus.SERVICE_UNAVAILABLE, "AuditUnavailable", detail)
                return
        self._observe(status)
        headers = MutableHeaders(raw=message["headers"])
        headers["x-request-id"] = self.request_id
        for name, value in _SECURITY_HEADERS.items():
            if name != _POLICY or self._scope["path"] not in _DOCS:
                headers.setdefault(name, value)
        await self._send(message)

    async def _instead(self, status: HTTPStatus, kind: str, detail: str) -> None:
        headers = {"retry-after": "5"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
        await problem(status, kind, detail, headers=headers)(self._scope, self._receive, self.send)
        self._replaced = True

    async def _audited(self, status: int) -> None:
        audit: Audit = self._scope["app"].state.context.audit
        caller = self._scope.get("state", {}).get("principal")
        actor = UNKNOWN if caller is None else str(caller.token_id)
        address = (self._scope.get("client") or ("",))[0]
        await audit.refused(Refusal(actor, self._scope["method"], self._route, status, address))

    def _observe(self, status: int) -> None:
        method, route, seconds = self._scope["method"], self._route, time.monotonic() - self._began
        REQUESTS.labels(method, route, status).inc()
        REQUEST_SECONDS.labels(method, route).observe(seconds)
        _log.info("request", method=method, route=route, status=status, seconds=round(seconds, 4))

    @property
    def _route(self) -> str:
        return getattr(self._scope.get("route"), "path", "none")
