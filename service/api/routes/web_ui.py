"""`/temporal`: Temporal's Web UI by way of the API, for browsers that signed in at `/codec`.

It asks its own origin for `/codec/decode`, so it shows decoded inputs and results without a setting in any browser.
Who opens its own port sees them encrypted.
"""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote, urlsplit

import httpx
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.background import BackgroundTask

from service.api.context import Context, context
from service.api.problems import NotFound, Unauthenticated
from service.api.security import Credentials
from service.api.sessions import COOKIE, session_or_token, web_ui_origin
from service.stack.temporal import WEB_UI
from service.temporal import TemporalUnavailable

router = APIRouter(include_in_schema=False)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_OF_A_CONNECTION = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "date",
    "server",
}
_OURS = {"authorization", "content-length", "cookie", "x-request-id"}
_POLICY = "default-src 'self' 'unsafe-inline' data: blob:; frame-ancestors 'none'"


@router.api_route(WEB_UI, methods=_METHODS)
@router.api_route(WEB_UI + "/{path:path}", methods=_METHODS)
async def web_ui(request: Request, api: Annotated[Context, Depends(context)], credentials: Credentials) -> Response:
    """Pass a request on to the Web UI's server; what changes something there is audited."""
    try:
        caller = await session_or_token(request, api, credentials)
    except Unauthenticated:
        if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
            raise
        return RedirectResponse(f"/codec?following={quote(request.url.path)}", HTTPStatus.SEE_OTHER)
    origin = web_ui_origin(api.settings)
    if origin is None or urlsplit(api.settings.temporal.ui_url or "").path != WEB_UI:
        raise NotFound("No Web UI is served here.", advice=f"Set WARDFLOW_TEMPORAL__UI_URL to one under {WEB_UI}.")
    if request.method not in ("GET", "HEAD"):
        await api.audit.record(str(caller.token_id), "temporal_ui", f"{request.method} {request.url.path}"[:500])
    asked = api.web.build_request(
        request.method,
        f"{origin}{request.scope['raw_path'].decode('ascii')}",
        params=request.url.query.encode(),
        headers=_passed_on(request),
        content=await request.body(),
    )
    try:
        answer = await api.web.send(asked, stream=True)
    except httpx.HTTPError as error:
        raise TemporalUnavailable("Temporal's Web UI does not answer.") from error
    response = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
    response.raw_headers += [
        (name.lower(), value) for name, value in answer.headers.raw if _passed_back(name.decode("latin-1").lower())
    ]
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _passed_back(header: str) -> bool:
    """Whether a header of the answer is for the browser: which other pages may ask, and its id, are for us to say."""
    return header not in (*_OF_A_CONNECTION, "x-request-id") and not header.startswith("access-control-")


def _passed_on(request: Request) -> list[tuple[str, str]]:
    """The request's headers but for those of the connection and those that are between the browser and us."""
    kept = [(name, value) for name, value in request.headers.items() if name not in _OF_A_CONNECTION | _OURS]
    if "accept-encoding" not in request.headers:
        kept.append(("accept-encoding", "identity"))  # the answer is passed on as it is, so we ask for nothing else
    return kept + [("cookie", f"{name}={value}") for name, value in request.cookies.items() if name != COOKIE]
