"""Makes answers as FHIR servers do, also broken ones."""

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.sources.fhir.sandbox.faults import Faults

FHIR, NDJSON, HTML = "application/fhir+json;charset=UTF-8", "application/fhir+ndjson", "text/html;charset=UTF-8"
_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"


class CallRefused(Exception):
    """A call that is answered with an error.

    Attributes:
        status: the HTTP status.
        code: the code of the issue.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, code: str, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.headers = status, code, headers or {}

    def answer(self) -> Response:
        """The answer, an OperationOutcome."""
        return outcome(self.status, self.code, str(self), self.headers)


def outcome(
    status: int, code: str, text: str, headers: dict[str, str] | None = None, severity: str = "error"
) -> Response:
    """An answer that is an OperationOutcome with one issue."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return fhir({"resourceType": "OperationOutcome", "issue": [issue]}, status, headers)


def fhir(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer that is a resource, given as an object or as bytes."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, headers, FHIR)


def html(status: int, title: str) -> Response:
    """An HTML page, which callers get instead of a resource."""
    return Response(_PAGE.format(title=title), status, media_type=HTML)


def wait(status: int, faults: Faults) -> Response:
    """An answer 429 or 503 with the time to wait."""
    headers = {}
    match faults.retry_after_form:
        case "seconds":
            headers["Retry-After"] = f"{faults.retry_after:g}"
        case "date":
            # A date has no fractions, so round up to the next second.
            moment = datetime.now(UTC) + timedelta(seconds=faults.retry_after + 0.999)
            headers["Retry-After"] = format_datetime(moment.replace(microsecond=0), usegmt=True)
    text = "Too many requests." if status == 429 else "The server is busy."
    return outcome(status, "throttled" if status == 429 else "transient", text, headers)


def compressed(answer: Response) -> Response:
    """The answer with a body in gzip."""
    answer.body = gzip.compress(bytes(answer.body), compresslevel=1)
    answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Content-Length"] = str(len(answer.body))
    return answer


def truncated(answer: Response) -> Response:
    """A complete answer with a JSON body that is cut off."""
    answer.body = bytes(answer.body)[: len(answer.body) * 2 // 3]
    answer.headers["Content-Length"] = str(len(answer.body))
    return answer


class CutOff(Response):
    """Closes the connection after half of the body."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.body, answer.status_code)
        self.raw_headers = answer.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send half of the body. The server then closes the connection, since the body is not complete."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
