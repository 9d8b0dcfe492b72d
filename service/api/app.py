"""The application: routes, errors, and what surrounds every request."""

import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from config.settings import Settings
from library.access.audit import Audit
from library.access.idempotency import IdempotencyKeys
from library.access.tokens import Scope as Needed
from library.access.tokens import Tokens
from library.warehouse.pool import create_pool
from library.warehouse.runs import RunLog
from service.api import access, beds, codec, fhir, fhir_imports, health, quarantine, runs, web_ui
from service.api.context import Context
from service.api.problems import PROBLEM, add_problem_handlers, problem
from service.api.security import needs
from service.api.sessions import sessions
from service.resources import object_store, warehouse
from service.starts import Starter
from service.temporal import connect, encryption_codec

_log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_TOO_LARGE = 413
_BODY, _HISTORY = 64 * 1024, 16 * 1024 * 1024
"""Bytes of a body at most: of a route that says nothing else, and of a page of a history."""
_DOCS = ("/docs", "/openapi.json")

REQUESTS = Counter("wardflow_requests_total", "Requests, by route template.", ("method", "route", "status"))
REQUEST_SECONDS = Histogram(
    "wardflow_request_seconds", "From a request to the begin of its answer.", ("method", "route")
)


def create_app(settings: Settings) -> FastAPI:
    """The API, as `wardflow api` serves it."""
    if settings.api.url is None:
        settings = settings.model_copy(update={"api": settings.api.model_copy(update={"url": ""})})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with warehouse(settings, name="wardflow api") as pool:
            store, client = object_store(settings), await connect(settings)
            dsn = settings.postgres.read_only_dsn or settings.postgres.dsn
            reader = await create_pool(
                dsn.get_secret_value() if dsn else "",
                size=settings.postgres.pool_size,
                application_name="wardflow api reader",
                statement_timeout=settings.api.statement_timeout,
            )
            # No proxy of the process's environment has business between us and the Web UI.
            web = httpx.AsyncClient(timeout=httpx.Timeout(10, read=90), trust_env=False)
            app.state.context = Context(
                settings=settings,
                pool=pool,
                reader=reader,
                starter=Starter(settings, client, store, pool),
                runs=RunLog(pool),
                tokens=Tokens(pool),
                audit=Audit(pool),
                keys=IdempotencyKeys(pool),
                sessions=sessions(settings),
                codec=encryption_codec(settings) if settings.encryption.enabled else None,
                web=web,
            )
            try:
                yield
            finally:
                await web.aclose()
                await reader.close()
                store.close()

    app = FastAPI(
        title="Wardflow",
        version="0.1.0",
        summary="Hospital data into one warehouse: durable, resumable, exactly once in effect.",
        lifespan=lifespan,
        redoc_url=None,
    )
    add_problem_handlers(app)
    app.include_router(health.router)
    app.include_router(runs.router)
    app.include_router(beds.router)
    app.include_router(fhir.router)
    app.include_router(fhir_imports.router)
    app.include_router(quarantine.router)
    app.include_router(access.router)
    app.include_router(codec.router)
    app.include_router(web_ui.router)
    # As a middleware inside `_around`, so that its plain answer becomes a problem document too.
    app.add_middleware(
        BodyLimits,
        by_path={
            "/nhs-data/upload": settings.workbook.max_bytes + beds.UPLOAD_OVERHEAD,
            "/fhir/bulk": settings.fhir.max_file_bytes + fhir_imports.UPLOAD_OVERHEAD,
            "/codec/decode": _HISTORY,
        },
    )
    app.middleware("http")(_around)

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse, **needs(Needed.OPERATE))
    async def metrics() -> Response:
        """Prometheus: requests of this process."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


class BodyLimits:
    """Bounds bodies while they stream in, by path: most are small, and are read before the caller is known."""

    def __init__(self, app: ASGIApp, by_path: Mapping[str, int]) -> None:
        self._others = RequestBodyLimitMiddleware(app, _BODY)
        self._by_path = {path: RequestBodyLimitMiddleware(app, most) for path, most in by_path.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with this path's limit."""
        await self._by_path.get(scope.get("path", ""), self._others)(scope, receive, send)


async def _around(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    """Name the request, time it, log it by its route's template (never its query), add security headers."""
    given = request.headers.get("x-request-id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    began = time.monotonic()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await proceed(request)
        if response.status_code == _TOO_LARGE and response.headers.get("content-type") != PROBLEM:
            # The limit is the framework's, and so is its plain answer.
            response = problem(HTTPStatus(_TOO_LARGE), "TooLarge", "The body is larger than this route takes.")
        route = getattr(request.scope.get("route"), "path", "none")
        seconds = time.monotonic() - began
        status = int(response.status_code)
        REQUESTS.labels(request.method, route, status).inc()
        REQUEST_SECONDS.labels(request.method, route).observe(seconds)
        _log.info("request", method=request.method, route=route, status=status, seconds=round(seconds, 4))
    response.headers["X-Request-Id"] = request_id
    for name, value in _SECURITY_HEADERS.items():
        if name != "Content-Security-Policy" or request.url.path not in _DOCS:
            response.headers.setdefault(name, value)
    return response
