"""The API in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from config.settings import Settings
from service.api.app import create_app


@asynccontextmanager
async def api_here(settings: Settings, *, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API on this test's database, as bearer of a token if there is one."""
    postgres = settings.postgres.model_copy(update={"read_only_dsn": None})  # the stack's: of another database
    app = create_app(settings.model_copy(update={"postgres": postgres}))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.1", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers, timeout=60) as http:
            yield http
