"""`/health`: public, and says nothing but which part is missing."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.api.context import Context, context
from service.worker.health import probe

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"state": "live"}


@router.get("/ready", responses={503: {"description": "A part is missing."}})
async def ready(response: Response, api: Annotated[Context, Depends(context)]) -> dict[str, Any]:
    """Whether the API reaches all that it needs."""
    checks = {
        "postgres": lambda: api.pool.fetchval("SELECT 1"),
        "s3": lambda: asyncio.to_thread(api.starter.store.bucket_exists),
        "temporal": lambda: api.starter.client.service_client.check_health(),
    }
    found = dict(zip(checks, await asyncio.gather(*(probe(check) for check in checks.values())), strict=True))
    well = all(state == "ok" for state in found.values())
    response.status_code = 200 if well else 503
    return {"state": "ready" if well else "not ready", "parts": found}
