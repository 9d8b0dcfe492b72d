"""What surrounds every request."""

import httpx
from starlette.types import Receive, Scope, Send

from service.api.middleware import RequestLogging


async def failing(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
    raise KeyError("the patient's name")


async def test_an_unexpected_error_is_a_problem_document_with_the_id_of_its_trace() -> None:
    transport = httpx.ASGITransport(RequestLogging(failing))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get("/", headers={"X-Request-Id": "request-4711"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "request-4711"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "patient" not in answer.text
