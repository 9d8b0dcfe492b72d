"""The FHIR routes of the sandbox: they answer calls, and play faults."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sources.fhir.sandbox import answers, bundle, exports
from service.sources.fhir.sandbox.admin import admin_routes
from service.sources.fhir.sandbox.answers import CallRefused
from service.sources.fhir.sandbox.calls import Calls, RecordedCall
from service.sources.fhir.sandbox.capabilities import capabilities
from service.sources.fhir.sandbox.faults import DrawnFaults, Faults, Player
from service.sources.fhir.sandbox.files import load
from service.sources.fhir.sandbox.resources import NotAResource, ResourceStore, Stored, instant
from service.sources.fhir.sandbox.search import SEVERAL, BadSearch, Parameters, read_search
from service.sources.fhir.sandbox.snapshots import PageExpired, Snapshots

_KIND = re.compile("[A-Z][A-Za-z]+")
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Options:
    """The settings of the server.

    Attributes:
        base_path: the path of FHIR. The admin routes are always under `/_sandbox`.
        page_lifetime: seconds until page links expire.
        reuse: seconds in which an equal search gets the earlier result, unless it is sent with `no-cache`.
        max_count: the most entries of a page.
        url_limit: the longest URL, in characters.
        token: callers must send it as `Authorization: Bearer`; empty: no token is needed.
        export_lines: resources in one file of an export.
        export_waits: how often an export's status is "not ready".
        opaque_versions: whether version ids are texts instead of numbers.
        another_port: a second port of the server, which the fault `next_on_another_port` uses.
    """

    base_path: str = "/fhir"
    page_lifetime: float = 3_600.0
    reuse: float = 60.0
    max_count: int = 1_000
    url_limit: int = 8_190
    token: str = ""
    export_lines: int = 10_000
    export_waits: int = 1
    opaque_versions: bool = False
    another_port: int = 0


@dataclass(frozen=True)
class FhirCall:
    """One call of the FHIR routes.

    Attributes:
        kind: the kind of call, for counts and faults.
        what: what it asks for; equal for each repetition of the call.
    """

    kind: str
    what: str
    request: Request
    parameters: Parameters
    where: bundle.ServerUrls
    drawn: DrawnFaults = field(repr=False)

    def of_path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params.get(name, ""))


type CallHandler = Callable[[FhirCall], Response | Awaitable[Response]]


class Sandbox:
    """The server's state, and its answers."""

    def __init__(self, options: Options, faults: Faults) -> None:
        self.options = options
        self.resources = ResourceStore(opaque_versions=options.opaque_versions)
        self.snapshots = Snapshots(options.page_lifetime, options.reuse)
        self.player = Player(faults)
        self.calls = Calls()
        self._exports = exports.Exports(self.resources, options.export_lines, options.export_waits)

    def routes(self) -> list[Route]:
        """The FHIR routes."""
        base = self.options.base_path

        def route(path: str, kind: str, handler: CallHandler, *methods: str) -> Route:
            return Route(base + path or "/", partial(self._endpoint, kind, handler), methods=methods or ("GET",))

        status, files = f"/{exports.STATUS}", f"/{exports.FILES}/{{job}}/{{file}}"
        made = [
            route("", "page", self._page),
            route("/metadata", "metadata", self._metadata),
            route("/$export", "export start", self._export),
            route("/Patient/$export", "export start", self._export),
            route(status, "export status", self._export_status),
            route(status, "export delete", self._export_delete, "DELETE"),
            route(files, "export file", self._export_file),
            route("/{kind}/_search", "search", self._search, "POST"),
            route("/{kind}", "search", self._search),
            route("/{kind}/{id}", "read", self._read),
            route("/{kind}/{id}", "put", self._put, "PUT"),
            route("/{kind}/{id}", "delete", self._delete, "DELETE"),
        ]
        return [*made, route("/", "page", self._page)] if base else made

    async def _endpoint(self, kind: str, handler: CallHandler, request: Request) -> Response:
        query = request.url.query
        parameters = bundle.query_parameters(query)
        if request.method == "POST" and request.headers.get("content-type", "").startswith(_FORM):
            parameters += bundle.query_parameters((await request.body()).decode())
        kind, what = self._named(kind, request, parameters)
        recorded = self.calls.begin(kind, request.method, request.url.path, parameters, what)
        status = 0
        try:
            if len(request.scope["raw_path"]) + len(query) + 1 > self.options.url_limit:
                answer = answers.html(400, "Bad Request")
            else:
                drawn = self.player.draw(kind, what)
                call = FhirCall(kind, what, request, parameters, self._where(request), drawn)
                answer = await self._answer(call, handler, recorded)
            status = answer.status_code
            return answer
        finally:
            self.calls.end(recorded, status)

    async def _answer(self, call: FhirCall, handler: CallHandler, recorded: RecordedCall) -> Response:
        faults, drawn = self.player.faults, call.drawn
        seconds = faults.latency if self.player.concerns(call.kind) else 0.0
        seconds += faults.slow_seconds if drawn.play("slow") else 0.0
        if seconds:
            await asyncio.sleep(seconds)
        for name, status in (("too_many_requests", 429), ("unavailable", 503)):
            if drawn.play(name):
                if faults.retry_after_form != "none":
                    self.calls.told_to_wait(recorded, faults.retry_after)
                return answers.wait(status, faults)
        if drawn.play("server_error"):
            return answers.outcome(500, "exception", "Something went wrong inside.")
        accept = call.request.headers.get("accept", "")
        wants_html = "text/html" in accept and "json" not in accept and ("_format", "json") not in call.parameters
        if drawn.play("html") or (wants_html and call.kind != "export file"):
            return answers.html(200, "A page for people")
        try:
            self._check_token(call)
            made = handler(call)
            answer = made if isinstance(made, Response) else await made
        except CallRefused as error:
            return error.answer()
        except (BadSearch, NotAResource) as error:
            return answers.outcome(400, "invalid", str(error))
        return self._broken(answer, call)

    def _broken(self, answer: Response, call: FhirCall) -> Response:
        """Play the faults that change the form of an answer."""
        if answer.status_code >= 300:
            return answer
        drawn = call.drawn
        if answer.headers.get("content-type") == answers.FHIR and drawn.play("json_content_type"):
            answer.headers["content-type"] = "application/json"
        if drawn.play("cut_json"):
            answer = answers.truncated(answer)
        if "gzip" in call.request.headers.get("accept-encoding", "") and drawn.play("gzip"):
            answer = answers.compressed(answer)
        return answers.CutOff(answer) if drawn.play("cut_off") else answer

    def _check_token(self, call: FhirCall) -> None:
        token = self.options.token
        authorization = call.request.headers.get("authorization")
        if token and authorization != f"Bearer {token}" and call.kind != "metadata":
            raise CallRefused(401, "login", "A bearer token is needed.", {"WWW-Authenticate": "Bearer"})

    def _named(self, kind: str, request: Request, parameters: Parameters) -> tuple[str, str]:
        """The kind of a call, and what it asks for."""
        values = dict(parameters)
        if bundle.PAGES in values:
            try:
                snapshot = self.snapshots.get(values[bundle.PAGES])
            except PageExpired:
                return "page", str(sorted(values.items()))
            del values[bundle.PAGES]  # the id is different for each search, so it must not be part of `what`
            return f"page {snapshot.kind}", f"{snapshot.query} {sorted(values.items())}"
        if name := request.path_params.get("kind"):
            kind = f"{kind} {name}"
        return kind, f"{kind} {request.path_params.get('id', '')}?{parameters}"

    def _where(self, request: Request) -> bundle.ServerUrls:
        """The server's base URL with the caller's host name, as HAPI writes its links."""
        path = self.options.base_path
        host = request.headers.get("host", "localhost")
        name, _, port = host.rpartition(":")
        another = self.player.faults.another_port or self.options.another_port or int(port or 80) + 1
        scheme = request.url.scheme
        return bundle.ServerUrls(f"{scheme}://{host}{path}", path, f"{scheme}://{name or host}:{another}{path}")

    def _metadata(self, call: FhirCall) -> Response:
        return answers.fhir(capabilities(self.resources.kinds(), call.where.base))

    def _search(self, call: FhirCall) -> Response:
        if bundle.PAGES in dict(call.parameters):
            return self._page(call)
        kind = call.of_path("kind")
        if not _KIND.fullmatch(kind):
            raise CallRefused(404, "not-found", f"Unknown resource type '{kind}'.")
        search = read_search(kind, call.parameters)
        several = search.patients is not None and len(search.patients) > 1
        if several and call.drawn.play("several_patients_refused"):
            status = self.player.faults.refusal_status
            raise CallRefused(status, "not-supported", f"Only one value is supported for the parameter '{SEVERAL}'.")
        fresh = "no-cache" in call.request.headers.get("cache-control", "")
        snapshot = self.snapshots.open(kind, call.what, lambda: search.run(self.resources), fresh=fresh)
        position = bundle.Position(0, min(search.count, self.options.max_count))
        return self._bundle(call, snapshot.id, position)

    def _page(self, call: FhirCall) -> Response:
        name = dict(call.parameters).get(bundle.PAGES)
        if name is None:
            raise CallRefused(400, "invalid", "This is not a page link of this server.")
        if call.drawn.play("expired_page"):
            self.snapshots.expire(name)
        return self._bundle(call, name, bundle.Position.read(call.parameters))

    def _bundle(self, call: FhirCall, name: str, position: bundle.Position) -> Response:
        try:
            snapshot = self.snapshots.get(name)
        except PageExpired as error:
            text = f'Search ID "{name}" does not exist and may have expired'
            raise CallRefused(410, "processing", text) from error
        own = str(call.request.url)
        return answers.fhir(bundle.page(snapshot, position, call.where, own, call.drawn, self.player.faults))

    def _read(self, call: FhirCall) -> Response:
        kind, identity = call.of_path("kind"), call.of_path("id")
        found = self.resources.get(kind, identity)
        if found is None:
            raise CallRefused(404, "not-found", f"Resource {kind}/{identity} is not known")
        if found.deleted:
            raise CallRefused(410, "deleted", f"Resource was deleted at {instant(found.updated)}")
        return answers.fhir(found.raw, headers=_version_headers(found))

    async def _put(self, call: FhirCall) -> Response:
        kind, identity = call.of_path("kind"), call.of_path("id")
        before = self.resources.get(kind, identity)
        stored = self.resources.put(await call.request.body(), must_be=(kind, identity))
        status = 200 if before and not before.deleted else 201
        return answers.fhir(stored.raw, status, _version_headers(stored))

    def _delete(self, call: FhirCall) -> Response:
        gone = self.resources.delete(call.of_path("kind"), call.of_path("id"))
        if gone is None:
            raise CallRefused(404, "not-found", "There is no such resource.")
        return answers.outcome(200, "informational", "Successfully deleted 1 resource(s).", severity="information")

    def _export(self, call: FhirCall) -> Response:
        if "respond-async" not in call.request.headers.get("prefer", ""):
            raise CallRefused(400, "invalid", "An export needs the header `Prefer: respond-async`.")
        only = call.request.url.path.endswith("/Patient/$export")
        job = self._exports.start(str(call.request.url), call.parameters, patients_only=only)
        location = f"{call.where.base}/{exports.STATUS}?_jobId={job.id}"
        accepted = answers.outcome(202, "informational", "The export was accepted.", severity="information")
        accepted.headers["Content-Location"] = location
        return accepted

    def _export_status(self, call: FhirCall) -> Response:
        job = self._job(dict(call.parameters).get("_jobId", ""))
        if job.waits:
            job.waits -= 1
            return Response(status_code=202, headers={"X-Progress": "in progress", "Retry-After": "1"})
        ready = answers.fhir(job.manifest(call.where))
        ready.headers["content-type"] = "application/json"
        return ready

    def _export_delete(self, call: FhirCall) -> Response:
        self._exports.delete(self._job(dict(call.parameters).get("_jobId", "")).id)
        return Response(status_code=202)

    def _export_file(self, call: FhirCall) -> Response:
        found = self._job(call.of_path("job")).files.get(call.of_path("file"))
        if found is None:
            raise CallRefused(404, "not-found", "There is no such file.")
        stamped = not call.drawn.play("unstamped_export")
        return Response(b"".join(exports.lines(found, stamped=stamped)), media_type=answers.NDJSON)

    def _job(self, name: str) -> exports.Job:
        if job := self._exports.get(name):
            return job
        raise CallRefused(404, "not-found", "There is no such export.")


def make_app(
    paths: Sequence[Path] = (), options: Options | None = None, faults: Faults | None = None
) -> tuple[Starlette, Sandbox]:
    """The application, and its state.

    Raises:
        ConfigurationError: a path is missing, or contains something other than resources.
    """
    sandbox = Sandbox(options or Options(), faults or Faults())
    load(sandbox.resources, list(paths))
    app = Starlette(routes=[*admin_routes(sandbox), *sandbox.routes()])
    app.router.redirect_slashes = False
    return app, sandbox


def _version_headers(stored: Stored) -> dict[str, str]:
    return {"ETag": f'W/"{stored.version}"'}
