"""`/codec`: a sign-in page, and the route that decodes inputs and results for Temporal's Web UI."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from pydantic import BaseModel, Field
from temporalio.api.common.v1 import Payload, Payloads

from library.access.encryption import UnreadablePayload
from library.access.tokens import Principal
from library.contracts.scopes import Scope
from service.api.bodies import validated
from service.api.context import ApiContext, Context
from service.api.problems import Unprocessable, problems
from service.api.sessions import Operator, begin_session, web_ui_origin
from service.stack.temporal import WEB_UI
from service.temporal import concerns_patients, encrypted

router = APIRouter(prefix="/codec", tags=["codec"])

DECODE = "/codec/decode"
HISTORY_PAGE = 16 * 1024 * 1024
"""Maximum bytes of one request of the Web UI: a page of a history."""

_EXAMPLE = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "eyJyb3dzIjogMX0="}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Wardflow: sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem; }}
input {{ width: 100%; font: inherit; padding: .5rem; box-sizing: border-box; }}
button {{ font: inherit; padding: .5rem 1rem; margin-top: 1rem; }} [role=alert] {{ color: #b00020; }}
</style></head><body><h1>Temporal's Web UI</h1>
<p>Histories are encrypted. With a token of the scope <code>operate</code> you see them decoded here. Runs that
concern patients need the scope <code>read:patients</code> too.</p>
{alert}<form method="post"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button>Sign in</button></form></body></html>"""
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


class EncodedPayloads(BaseModel):
    """Payloads of Temporal in protobuf's JSON."""

    payloads: list[dict[str, Any]] = Field(max_length=10_000, examples=[[_EXAMPLE]])


@router.get("", include_in_schema=False)
async def sign_in_page() -> HTMLResponse:
    """Show the sign-in page."""
    return _page()


@router.post("", include_in_schema=False)
async def sign_in(request: Request, api: ApiContext, following: str = WEB_UI) -> Response:
    """Begin a session, for a token with the scope `operate`."""
    async with request.form(max_files=0, max_fields=2) as form:
        token = form.get("token")
    found = await api.tokens.verify(token.strip()) if isinstance(token, str) else None
    if found is None or not found.may(Scope.OPERATE):
        return _page("This token is not valid, or does not have the scope 'operate'.", HTTPStatus.UNAUTHORIZED)
    target = following if following.startswith(f"{WEB_UI}/") else WEB_UI
    response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    begin_session(request, response, api, found)
    await api.audit.record(str(found.token_id), "sign_in", "temporal_ui")
    return response


@router.options("/decode", include_in_schema=False)
async def may_decode(request: Request, api: ApiContext) -> Response:
    """The CORS preflight: only the Web UI's origin may call `/codec/decode` with its cookie."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=_cross_origin(request, api))


@router.post(
    "/decode",
    responses=problems(401, 403, 413, 422, 503),
    openapi_extra={
        "x-scope": str(Scope.OPERATE),
        "requestBody": {
            "content": {"application/json": {"schema": EncodedPayloads.model_json_schema()}},
            "required": True,
        },
    },
)
async def decode(request: Request, response: Response, api: ApiContext, caller: Operator) -> EncodedPayloads:
    """Decode payloads. Payloads that the caller may not see, or that cannot be decrypted, are not changed."""
    response.headers.update(_cross_origin(request, api))
    encoded = validated(EncodedPayloads, await request.body())  # read after the caller is known, as it can be megabytes
    try:
        payloads = ParseDict(encoded.model_dump(), Payloads()).payloads
    except ParseError as error:
        raise Unprocessable("payloads: these are not payloads of Temporal.", field="payloads") from error
    shown = [await _shown(api, caller, payload) for payload in payloads]
    return EncodedPayloads(payloads=[MessageToDict(payload) for payload in shown])


async def _shown(api: Context, caller: Principal, payload: Payload) -> Payload:
    if api.codec is None or not encrypted(payload):
        return payload
    if concerns_patients(payload) and not caller.may(Scope.READ_PATIENTS):
        return payload
    try:
        (plain,) = await api.codec.decode([payload])
    except (UnreadablePayload, DecodeError, KeyError, UnicodeDecodeError):
        return payload
    return plain


def _cross_origin(request: Request, api: Context) -> Mapping[str, str]:
    origin = web_ui_origin(api.settings)
    if origin is None or request.headers.get("origin") != origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "authorization, content-type, x-namespace",
        "Vary": "Origin",
    }


def _page(alert: str = "", status: HTTPStatus = HTTPStatus.OK) -> HTMLResponse:
    shown = f'<p role="alert">{alert}</p>' if alert else ""
    return HTMLResponse(_PAGE.format(alert=shown), status, {"Content-Security-Policy": _PAGE_POLICY})
