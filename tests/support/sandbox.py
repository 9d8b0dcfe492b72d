"""A FHIR server beside the test, in a thread or a process of its own: a test that blocks its loop does not stop it."""

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from service.listening import listen
from service.sources.fhir.sandbox.app import Options, make_app
from service.sources.fhir.sandbox.faults import Faults
from service.sources.fhir.sandbox.process import server

SAMPLE = Path(__file__).parents[1] / "data" / "fhir"

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients' `verify`: the default reads all certificates of the system, which takes longer than most tests."""

type Resource = Mapping[str, Any]


@dataclass(frozen=True)
class RunningSandbox:
    """The server, and what steers it.

    Attributes:
        url: FHIR's base.
        another_url: the same server by its second port, if it has one.
        steering: a client of `/_sandbox`.
    """

    url: str
    another_url: str
    steering: httpx.Client

    def put(self, *resources: Resource) -> None:
        """Store resources, or their next versions, stamped now."""
        self.put_lines(json.dumps(each).encode() for each in resources)

    def put_as_given(self, *resources: Resource) -> None:
        """Store resources whose `meta` stays as it is, be it missing."""
        self.put_lines((json.dumps(each).encode() for each in resources), stamp="given")

    def put_lines(self, lines: Iterable[bytes], *, stamp: str = "now") -> None:
        """Store resources as NDJSON has them."""
        self._ask("PUT", "resources", content=b"\n".join(lines), params={"stamp": stamp})

    def delete(self, kind: str, identity: str) -> None:
        """Delete a resource, as `DELETE` does."""
        faults = self.faults()
        assert "delete" not in faults.calls
        self.steering.delete(f"{self.url}/{kind}/{identity}").raise_for_status()

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """All of a kind, as they are now."""
        return [json.loads(line) for line in self._ask("GET", f"resources/{kind}").content.splitlines()]

    def clear_resources(self) -> None:
        """Forget everything."""
        self._ask("DELETE", "resources")

    def set_faults(self, **faults: Any) -> None:
        """Play these faults from now on, and no others; the attributes are those of `Faults`."""
        self._ask("PUT", "faults", json=faults)

    def faults(self) -> Faults:
        """The faults that are set."""
        return Faults(**self._ask("GET", "faults").json()["faults"])

    def played(self) -> dict[str, int]:
        """How often each fault was played since it was set."""
        played: dict[str, int] = self._ask("GET", "faults").json()["played"]
        return played

    def calls(self) -> dict[str, Any]:
        """How many calls there were; see `service.sources.fhir.sandbox.calls`."""
        summary: dict[str, Any] = self._ask("GET", "calls").json()
        return summary

    def call_log(self, kind: str = "") -> list[dict[str, Any]]:
        """The calls one by one, those of a kind such as `search` or `page Patient`."""
        log = self._ask("GET", "calls/log").json()["calls"]
        return [each for each in log if each["kind"].startswith(kind)]

    def clear_calls(self) -> None:
        """Count from nothing."""
        self._ask("DELETE", "calls")

    def expire_pages(self) -> None:
        """End the life of every page link."""
        self._ask("DELETE", "pages")

    def set_pages(self, **settings: float) -> None:
        """Set `lifetime` of page links or `reuse` of searches, in seconds."""
        self._ask("PUT", "pages", json=settings)

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.steering.request(method, f"/_sandbox/{path}", **more)
        assert answer.is_success, answer.text
        return answer


@contextmanager
def running_sandbox(
    paths: Sequence[Path] = (SAMPLE,), options: Options | None = None, **faults: Any
) -> Iterator[RunningSandbox]:
    """A sandbox in a thread, on two free loopback ports."""
    sockets = [listen("127.0.0.1", 0) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    options = replace(options or Options(), another_port=ports[1])
    app, _ = make_app(paths, options, Faults(**faults))
    serving = server(app)
    thread = threading.Thread(target=serving.run, args=(sockets,), daemon=True)
    thread.start()
    first, second = (f"http://127.0.0.1:{port}" for port in ports)
    try:
        with httpx.Client(base_url=first, trust_env=False, verify=NO_TLS, timeout=60) as client:
            yield RunningSandbox(first + options.base_path, second + options.base_path, client)
    finally:
        serving.should_exit = True
        thread.join(20)
        for each in sockets:
            each.close()


@contextmanager
def sandbox_process(paths: Sequence[Path] = (SAMPLE,), *words: str) -> Iterator[RunningSandbox]:
    """`wardflow sandbox fhir` as a process of its own, for measurements and for tests that kill everything else."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "service.cli", "sandbox", "fhir", *map(str, paths), *words],
        env=os.environ | {"WARDFLOW_LOG__LEVEL": "ERROR"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "it has ended at once"
        with httpx.Client(base_url=httpx.URL(url).join("/"), trust_env=False, verify=NO_TLS, timeout=60) as client:
            yield RunningSandbox(url, "", client)
    finally:
        process.terminate()
        process.communicate(timeout=20)
