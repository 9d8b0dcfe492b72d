"""The application: routes, errors, and what surrounds every request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp

from config.settings import Settings
from library.access.audit import Audit
from library.access.idempotency import IdempotencyKeys
from library.access.passwords import Passwords
from library.access.slowing import Slowing
from library.access.tokens import Tokens
from library.access.users import SignIns
from library.contracts.scopes import Scope
from library.warehouse.pool import create_pool
from library.warehouse.runs import RunLog
from service.api.context import Context
from service.api.docs import add_docs
from service.api.middleware import BodyLimits, RequestLogging
from service.api.parts import ApiPart
from service.api.posting import BODY, FastPostMiddleware, opened_posts
from service.api.posting import router as posting
from service.api.problems import add_problem_handlers
from service.api.routes import access, codec, health, origin, quarantine, runs, streams, users, web_ui
from service.api.security import needs
from service.api.sessions import sessions
from service.posts import posting_apis
from service.readiness import parts
from service.resources import object_store, warehouse
from service.sources import modules
from service.starts import Starter
from service.temporal import connect, encryption_codec


def create_app(settings: Settings) -> FastAPI:
    """The API, as `wardflow api` serves it."""
    if settings.api.url is None:
        settings = settings.model_copy(update={"api": settings.api.model_copy(update={"url": ""})})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            pool = await opened.enter_async_context(warehouse(settings, name="wardflow api", stateless=True))
            store, client = object_store(settings), await connect(settings)
            dsn = settings.postgres.read_only_dsn or settings.postgres.dsn
            reader = await create_pool(
                dsn.get_secret_value() if dsn else "",
                size=settings.postgres.pool_size,
                application_name="wardflow api reader",
                statement_timeout=settings.api.statement_timeout,
                stateless=True,
            )
            # No proxy of the process's environment has business between us and the Web UI.
            web = httpx.AsyncClient(timeout=httpx.Timeout(10, read=90), trust_env=False)
            app.state.context = Context(
                settings=settings,
                pool=pool,
                reader=reader,
                downloads=asyncio.Semaphore(max(1, settings.postgres.pool_size // 2)),
                starter=Starter(settings, client, store, pool),
                runs=RunLog(pool),
                tokens=Tokens(pool),
                audit=Audit(pool),
                sign_ins=SignIns(pool, _passwords(settings), Slowing()),
                parts=parts(settings, pool, store, client, kafka=settings.kafka.enabled),
                posts=await opened.enter_async_context(opened_posts(settings)) if settings.kafka.enabled else None,
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

    app = _Api(
        title="Wardflow",
        version="0.1.0",
        summary="Hospital data into one warehouse: durable, resumable, exactly once in effect.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    add_problem_handlers(app)
    add_docs(app)
    app.include_router(posting)
    limits = {api.path: BODY for api in posting_apis()}
    for part in _parts():
        for router in part.routers:
            app.include_router(router)
        limits |= part.largest_bodies(settings)
    # Inside `RequestLogging`, so that its plain answer becomes a problem document too.
    app.add_middleware(BodyLimits, by_path=limits)
    app.add_middleware(RequestLogging)

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse, **needs(Scope.OPERATE))
    async def metrics() -> Response:
        """Prometheus: requests of this process."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def _parts() -> tuple[ApiPart, ...]:
    """Routes that serve every source, and those of each."""
    before = (health.router, streams.router, runs.router)
    after = (origin.router, quarantine.router, access.router, users.router, codec.router, web_ui.router)
    sources = [module.PART for module in modules("routes")]
    return (ApiPart(before), *sources, ApiPart(after, lambda _: {codec.DECODE: codec.HISTORY_PAGE}))


class _Api(FastAPI):
    """The framework, with posts of records handled before it."""

    def build_middleware_stack(self) -> ASGIApp:
        """The framework's own stack, behind the one for posts."""
        return FastPostMiddleware(super().build_middleware_stack())


def _passwords(settings: Settings) -> Passwords:
    wanted = settings.access
    return Passwords(
        at_once=wanted.password_checks, waiting=wanted.password_checks_waiting, remembered=wanted.password_remembered
    )
