"""The resources of the routes, made once when the API starts."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast

import httpx
from fastapi import Depends, Request

from config.settings import Settings
from library.access.audit import Audit
from library.access.idempotency import IdempotencyKeys
from library.access.sessions import Sessions
from library.access.tokens import Tokens
from library.access.users import SignIns
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.posts import Posts
from service.readiness import Probe
from service.starts import Starter
from service.temporal import EncryptionCodec


@dataclass(frozen=True)
class Context:
    """The resources of the routes.

    Attributes:
        reader: a pool of the read-only role for queries, with a statement time-out.
        downloads: limits downloads to half of a pool's connections, so pages never wait for slow clients.
        posts: sends records to Kafka; `None` if Kafka is turned off.
        parts: probes of the servers that the API uses, by name.
        codec: decodes Temporal's payloads; `None` if they are not encrypted.
        web: the client for the server of Temporal's Web UI.
    """

    settings: Settings
    pool: Pool
    reader: Pool
    downloads: asyncio.Semaphore
    starter: Starter
    runs: RunLog
    tokens: Tokens
    sign_ins: SignIns
    posts: Posts | None
    parts: Mapping[str, Probe]
    audit: Audit
    keys: IdempotencyKeys
    sessions: Sessions
    codec: EncryptionCodec | None
    web: httpx.AsyncClient


async def context(request: Request) -> Context:
    """The API's context, for routes. It is a coroutine, since FastAPI calls functions in threads."""
    return context_of(request)


def context_of(request: Request) -> Context:
    """The context of the API that got this request."""
    return cast(Context, request.app.state.context)


ApiContext = Annotated[Context, Depends(context)]
"""A parameter of a route: FastAPI fills it with the API's context."""
