"""Browser sessions, for the routes that Temporal's Web UI calls."""

import secrets
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response

from config.settings import Settings
from library.access.encryption import KeyRing, KeyRingFile
from library.access.sessions import Sessions
from library.access.tokens import Principal
from library.contracts.scopes import Scope
from service.api.context import ApiContext, Context
from service.api.problems import Forbidden, Unauthenticated
from service.api.security import Credentials

COOKIE = "wardflow_session"


def sessions(settings: Settings) -> Sessions:
    """Sessions with the shared key ring. Without encryption there is none, so each process accepts its own sessions."""
    ring = (
        KeyRingFile(settings.key_ring_file)
        if settings.encryption.enabled
        else KeyRing("process", {"process": secrets.token_bytes(32)})
    )
    return Sessions(ring, seconds=settings.api.session_hours * 3600)


def begin_session(request: Request, response: Response, api: Context, principal: Principal) -> None:
    """Set the session cookie."""
    response.set_cookie(
        COOKIE,
        api.sessions.seal(principal.token_id),
        max_age=int(api.sessions.seconds),
        httponly=True,
        samesite="lax",  # sent when a link in a mail opens a run, but not with POSTs of other sites
        # Behind a proxy with TLS, only the public URL shows that it is https.
        secure="https" in (request.url.scheme, urlsplit(api.settings.api.url or "").scheme),
    )


async def session_or_token(request: Request, api: ApiContext, credentials: Credentials) -> Principal:
    """The caller, from a token or from a session cookie whose token is still valid.

    Raises:
        Unauthenticated: there is no valid token and no valid session.
        Forbidden: the scope `operate` is missing, or a script of another page uses the cookie.
    """
    found: Principal | None = None
    if credentials is not None:
        found = await api.tokens.verify(credentials.credentials)
    elif (cookie := request.cookies.get(COOKIE)) is not None:
        token_id = api.sessions.token_id(cookie)
        found = await api.tokens.bearer(token_id) if token_id else None
        if request.method not in ("GET", "HEAD") and not from_our_pages(request, api.settings):
            raise Forbidden("Only the Web UI's own page may use this session.", advice="Open the Web UI at this API.")
    if found is None:
        raise Unauthenticated(
            "This needs a token, or a session in the browser.",
            advice="Sign in at /codec with a token that has the scope 'operate'.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    request.state.principal = found
    if not found.may(Scope.OPERATE):
        raise Forbidden("Your token does not have the scope 'operate'.", advice="Ask for a token that has it.")
    return found


Operator = Annotated[Principal, Depends(session_or_token)]


def from_our_pages(request: Request, settings: Settings) -> bool:
    """Whether a page of this API or of the Web UI sent the request. The origin has the port, which cookies ignore."""
    origin = request.headers.get("origin", "")
    return urlsplit(origin).netloc == request.headers.get("host") or origin == web_ui_origin(settings)


def web_ui_origin(settings: Settings) -> str | None:
    """The origin of the Web UI's own server."""
    if settings.temporal.ui_url is None:
        return None
    parts = urlsplit(settings.temporal.ui_url)
    return f"{parts.scheme}://{parts.netloc}"
