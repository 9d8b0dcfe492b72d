"""Routes under `/_sandbox` that control the running sandbox. They do not count as calls, and have no faults."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sources.fhir.sandbox import exports
from service.sources.fhir.sandbox.faults import Faults
from service.sources.fhir.sandbox.resources import NotAResource

if TYPE_CHECKING:
    from service.sources.fhir.sandbox.app import Sandbox


class _Pages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lifetime: float | None = None
    reuse: float | None = None


def admin_routes(sandbox: "Sandbox") -> list[Route]:
    """The admin routes."""

    async def show_faults(_: Request) -> Response:
        return _json({"faults": sandbox.player.faults, "played": dict(sandbox.player.played)})

    async def set_faults(request: Request) -> Response:
        try:
            sandbox.player.set(msgspec.json.decode(await request.body(), type=Faults))
        except msgspec.DecodeError as error:
            return _json({"problem": str(error)}, 422)
        return await show_faults(request)

    async def show_calls(_: Request) -> Response:
        return _json(sandbox.calls.summary())

    async def show_log(_: Request) -> Response:
        return _json({"calls": [asdict(each) for each in sandbox.calls.log]})

    async def clear_calls(_: Request) -> Response:
        sandbox.calls.clear()
        return Response(status_code=204)

    async def set_pages(request: Request) -> Response:
        try:
            pages = msgspec.json.decode(await request.body(), type=_Pages)
        except msgspec.DecodeError as error:
            return _json({"problem": str(error)}, 422)
        if pages.lifetime is not None:
            sandbox.snapshots.lifetime = pages.lifetime
        if pages.reuse is not None:
            sandbox.snapshots.reuse = pages.reuse
        return _json({"lifetime": sandbox.snapshots.lifetime, "reuse": sandbox.snapshots.reuse})

    async def expire_pages(_: Request) -> Response:
        sandbox.snapshots.expire()
        return Response(status_code=204)

    async def put_resources(request: Request) -> Response:
        stamp = request.query_params.get("stamp", "now")
        if stamp not in ("now", "given"):
            return _json({"problem": "stamp must be `now` or `given`."}, 422)
        count = 0
        try:
            for line in (await request.body()).splitlines():
                if line.strip():
                    sandbox.resources.put(line, stamp="now" if stamp == "now" else "given")
                    count += 1
        except NotAResource as error:
            return _json({"problem": f"Resource {count + 1} cannot be stored. {error}"}, 422)
        return _json({"stored": count})

    async def show_resources(request: Request) -> Response:
        found = tuple(sandbox.resources.all(request.path_params["kind"]))
        return Response(b"".join(exports.lines(found)), media_type="application/fhir+ndjson")

    async def clear_resources(_: Request) -> Response:
        sandbox.resources.clear()
        sandbox.snapshots.expire()
        return Response(status_code=204)

    return [
        Route("/_sandbox/faults", show_faults, methods=["GET"]),
        Route("/_sandbox/faults", set_faults, methods=["PUT"]),
        Route("/_sandbox/calls", show_calls, methods=["GET"]),
        Route("/_sandbox/calls", clear_calls, methods=["DELETE"]),
        Route("/_sandbox/calls/log", show_log, methods=["GET"]),
        Route("/_sandbox/pages", set_pages, methods=["PUT"]),
        Route("/_sandbox/pages", expire_pages, methods=["DELETE"]),
        Route("/_sandbox/resources", put_resources, methods=["PUT"]),
        Route("/_sandbox/resources", clear_resources, methods=["DELETE"]),
        Route("/_sandbox/resources/{kind}", show_resources, methods=["GET"]),
    ]


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
