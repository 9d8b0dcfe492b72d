"""`/temporal`: passes requests on to Temporal's Web UI, for browsers that signed in at `/codec`.

The Web UI calls `/codec/decode` at its own origin. So it shows decoded inputs and results without a setting in the
browser. At the Web UI's own port they stay encrypted.
"""

from http import HTTPStatus
from urllib.parse import quote, urlsplit

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.background import BackgroundTask

from service.api.context import ApiContext
from service.api.problems import NotFound, Unauthenticated
from service.api.security import Credentials
from service.api.sessions import COOKIE, session_or_token, web_ui_origin
from service.stack.temporal import WEB_UI
from service.temporal import TemporalUnavailable

router = APIRouter(include_in_schema=False)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_CONNECTION_HEADERS = {
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
_NOT_PASSED_ON = {"authorization", "content-length", "cookie", "x-request-id"}
_POLICY = "default-src 'self' 'unsafe-inline' data: blob:; frame-ancestors 'none'"


@router.api_route(WEB_UI, methods=_METHODS)
@router.api_route(WEB_UI + "/{path:path}", methods=_METHODS)
async def web_ui(request: Request, api: ApiContext, credentials: Credentials) -> Response:
    """Pass a request on to the Web UI's server. Requests other than GET and HEAD are written to the audit."""
    try:
        caller = await session_or_token(request, api, credentials)
    except Unauthenticated:
        if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
            raise
        return RedirectResponse(f"/codec?following={quote(request.url.path)}", HTTPStatus.SEE_OTHER)
    origin = web_ui_origin(api.settings)
    if origin is None or urlsplit(api.settings.temporal.ui_url or "").path != WEB_UI:
        raise NotFound(
            "The Web UI is not served here.", advice=f"Set WARDFLOW_TEMPORAL__UI_URL to a URL with {WEB_UI}."
        )
    if request.method not in ("GET", "HEAD"):
        await api.audit.record(str(caller.token_id), "temporal_ui", f"{request.method} {request.url.path}"[:500])
    upstream = api.web.build_request(
        request.method,
        f"{origin}{request.scope['raw_path'].decode('ascii')}",
        params=request.url.query.encode(),
        headers=_passed_on(request),
        content=await request.body(),
    )
    try:
        answer = await api.web.send(upstream, stream=True)
    except httpx.HTTPError as error:
        raise TemporalUnavailable("Temporal's Web UI does not answer.") from error
    response = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
    response.raw_headers += [
        (name.lower(), value) for name, value in answer.headers.raw if _passed_back(name.decode("latin-1").lower())
    ]
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _passed_back(header: str) -> bool:
    """Whether a header of the answer goes to the browser. The API sets CORS headers and the request id itself."""
    return header not in (*_CONNECTION_HEADERS, "x-request-id") and not header.startswith("access-control-")


def _passed_on(request: Request) -> list[tuple[str, str]]:
    """The request's headers for the Web UI, without those of the connection and of the sign-in."""
    kept = [
        (name, value) for name, value in request.headers.items() if name not in _CONNECTION_HEADERS | _NOT_PASSED_ON
    ]
    if "accept-encoding" not in request.headers:
        kept.append(("accept-encoding", "identity"))  # the answer is not decoded, so the browser must understand it
    return kept + [("cookie", f"{name}={value}") for name, value in request.cookies.items() if name != COOKIE]
