"""`/docs`: every route, to be read and tried; served from here, since hospitals' networks reach no CDN."""

from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

PAGE: Final = "/docs"
_FILES = f"{PAGE}/files"
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)

_router = APIRouter(include_in_schema=False)


@_router.get(PAGE)
async def docs(request: Request) -> HTMLResponse:
    """The page; a token that is entered there is forgotten with it."""
    below = request.scope.get("root_path", "").rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{below}/openapi.json",
        title="Wardflow",
        swagger_js_url=f"{below}{_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{below}{_FILES}/swagger-ui.css",
        swagger_favicon_url=f"{below}{_FILES}/favicon-32x32.png",
        swagger_ui_parameters={"filter": True, "displayRequestDuration": True},
    )
    page.headers["Content-Security-Policy"] = _POLICY
    return page


@_router.get("/")
async def begin(request: Request) -> RedirectResponse:
    """Who opens the address itself is led to the page."""
    return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + PAGE)


def add_docs(app: FastAPI) -> None:
    """Serve the page and what it is made of."""
    app.mount(_FILES, StaticFiles(packages=[("fastapi_swagger", "resources")]))
    app.include_router(_router)
