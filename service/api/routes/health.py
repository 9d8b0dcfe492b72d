"""`/health`: public, so it only names the missing parts."""

from typing import Any

from fastapi import APIRouter, Response

from service.api.context import ApiContext
from service.readiness import probed, readiness

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"state": "live"}


@router.get("/ready", responses={503: {"description": "A part is missing without which nothing can be answered."}})
async def ready(response: Response, api: ApiContext) -> dict[str, Any]:
    """Whether the API reaches all that it needs; without Kafka it is ready, and only posts of records are refused."""
    return readiness(response, await probed(api.parts), optional=("kafka",))
