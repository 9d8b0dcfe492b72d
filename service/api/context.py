"""What routes work with; made once when the API starts."""

from dataclasses import dataclass
from typing import cast

import httpx
from fastapi import Request

from config.settings import Settings
from library.access.audit import Audit
from library.access.idempotency import IdempotencyKeys
from library.access.sessions import Sessions
from library.access.tokens import Tokens
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.starts import Starter
from service.temporal import EncryptionCodec


@dataclass(frozen=True)
class Context:
    """Everything that a route may need.

    Attributes:
        reader: a pool of the read-only role, with a statement time-out: what queries use.
        codec: of Temporal's payloads; `None` where they are not encrypted.
        web: asks the server of Temporal's Web UI.
    """

    settings: Settings
    pool: Pool
    reader: Pool
    starter: Starter
    runs: RunLog
    tokens: Tokens
    audit: Audit
    keys: IdempotencyKeys
    sessions: Sessions
    codec: EncryptionCodec | None
    web: httpx.AsyncClient


def context(request: Request) -> Context:
    """The API's context, for routes."""
    return cast(Context, request.app.state.context)
