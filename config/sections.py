"""Settings of Wardflow's own processes, sources and limits."""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from config.servers import MEBIBYTE, Section

HAPI = "https://hapi.fhir.org/baseR4"
_SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


class WorkerSettings(Section):
    """One worker process.

    Attributes:
        queues: the task queues that it serves.
        queue_prefix: the beginning of each queue's name, so that tests and deployments can share a namespace.
        *_slots: the number of steps that run at once, by queue. `load` is limited by database connections, `compute` by
            cores. `streams` needs one for each partition and archive.
        tuner: `slots`: always allow as many steps as there are slots; `resources`: allow fewer while the machine uses
            more than the targets.
        target_cpu, target_memory: the targets of `resources`, as a share of the machine.
        graceful_shutdown: seconds that running activities have to finish when the worker shuts down.
        host, port: the address of health and metrics. The default is loopback, since they need no token.
        deployment_name, build_id: worker versioning; it is off if `build_id` is empty.
    """

    queues: tuple[str, ...] = ("workflows", "io", "compute", "load", "fhir", "streams")
    queue_prefix: str = ""
    workflows_slots: int = 50
    io_slots: int = 16
    compute_slots: int = Field(default_factory=lambda: max(2, os.cpu_count() or 2))
    load_slots: int = 4
    tuner: Literal["slots", "resources"] = "slots"
    target_cpu: float = Field(default=0.9, gt=0, le=1)
    target_memory: float = Field(default=0.8, gt=0, le=1)
    fhir_slots: int = 16
    streams_slots: int = 32
    graceful_shutdown: float = 20.0
    host: str = "127.0.0.1"
    port: int = 0
    deployment_name: str = "wardflow"
    build_id: str = ""


class StreamSettings(Section):
    """Draining topics into the warehouse.

    Attributes:
        batch_records, batch_bytes: the most records and bytes of one transaction.
        record_bytes: a record with a larger value is refused. The record APIs accept up to 64 KiB.
        seconds: how long one activity drains.
        wait: seconds that a read of an idle partition waits for a record.
    """

    batch_records: int = Field(default=20_000, ge=1)
    batch_bytes: int = Field(default=16 * MEBIBYTE, ge=1)
    record_bytes: int = Field(default=MEBIBYTE, ge=64 * 1024)
    seconds: float = Field(default=60.0, gt=0, le=120)
    wait: float = Field(default=1.0, gt=0, le=10)


class EncryptionSettings(Section):
    """Encryption of Temporal payloads.

    Attributes:
        enabled: turn it off only for debugging, and for tests that read histories.
        key_ring: a JSON file that all processes share; `None`: `keys.json` in the stack's folder.
    """

    enabled: bool = True
    key_ring: Path | None = None


class WorkbookSettings(Section):
    """Limits of reading workbooks. The limits of a sheet (5,000 rows, 300 columns) are fixed in the reader.

    Attributes:
        max_bytes: the largest file.
        max_memory: bytes that the child process may use beyond what it has at its start.
        max_seconds: time limit by the wall clock.
    """

    max_bytes: int = 50 * MEBIBYTE
    max_memory: int = 256 * MEBIBYTE
    max_seconds: float = Field(default=60.0, gt=0, le=120)


class DownloadSettings(Section):
    """Downloads by URL. `library.web.guard.Guard` is made from these.

    Attributes:
        hosts: allowed hosts: a name, or `.name` for all names below it.
        private_origins: your own servers, each as host:port; none in production.
        deadline: seconds for one whole download.
        proxy: an egress proxy for every download.
        ca_file: certificates to trust instead of the system's.
    """

    hosts: tuple[str, ...] = ("www.england.nhs.uk",)
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    ports: tuple[int, ...] = (443,)
    private_origins: tuple[str, ...] = ()
    max_redirects: int = 5
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    deadline: float = 300.0
    proxy: SecretStr | None = None
    ca_file: Path | None = None


class FhirServerSettings(Section):
    """A FHIR R4 server. Its base URL is trusted, so it may have a private address.

    Attributes:
        base_url: http(s)://host[:port][/path].
        token: a bearer token; or
        client_id, client_secret, token_url, scope: OAuth client credentials.
        next_origins: other origins in the server's links, each as scheme://host[:port], as behind a proxy. Such links
            are followed at the origin of `base_url`.
    """

    base_url: str = Field(pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$")
    token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    token_url: str | None = None
    scope: str = "system/*.read"
    next_origins: tuple[str, ...] = ()


class FhirSettings(Section):
    """The FHIR servers, and how they are read.

    Attributes:
        base_url: the base URL of the server `default`, which is then the default server.
        servers: servers by name. `hapi`, HAPI's public server, always exists.
        default_server: the server that is used if none is named. If it is not set: `default` if `base_url` is set, else
            the only one of `servers`, else the embedded stack's sandbox, else `hapi`.
        sandbox_url: the URL of the embedded stack's sandbox, the server `sandbox`.
        zipcode: a regular expression for zip codes.
        page_size: resources of a page. A server may send fewer.
        batch: patients in one search for observations.
        window: searches that run at once.
        large_zipcode: an import with more searches than this is divided among child workflows.
        part: searches of such a child workflow.
        history: events after which a workflow continues as new.
        rate: calls a second, over all workers.
        overlap: seconds that a search for changes begins before the last one's start. A server may commit a resource
            later than the time in it.
        max_page_bytes: the largest page, decompressed.
        max_file_bytes: the largest NDJSON file, decompressed.
        connect_timeout, read_timeout, deadline: seconds; the last one for a whole call.
    """

    base_url: str | None = Field(default=None, pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$")
    servers: dict[str, FhirServerSettings] = Field(default_factory=dict)
    default_server: str | None = None
    sandbox_url: str | None = None
    zipcode: Annotated[str, AfterValidator(_regular)] = r"[0-9]{5}(-[0-9]{4})?"
    page_size: int = Field(default=200, ge=1, le=10_000)
    batch: int = Field(default=20, ge=1, le=1_000)
    window: int = Field(default=5, ge=1, le=100)
    large_zipcode: int = Field(default=2_000, ge=1)
    part: int = Field(default=50, ge=1)
    history: int = Field(default=4_000, ge=20)
    rate: float = Field(default=20.0, gt=0)
    overlap: float = Field(default=300.0, ge=0)
    max_page_bytes: int = 64 * MEBIBYTE
    max_file_bytes: int = 2048 * MEBIBYTE
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    deadline: float = 180.0

    @cached_property
    def by_name(self) -> dict[str, FhirServerSettings]:
        """All servers by name."""
        found = {"hapi": FhirServerSettings(base_url=HAPI)}
        if self.sandbox_url:
            found["sandbox"] = FhirServerSettings(base_url=self.sandbox_url)
        if self.base_url:
            found["default"] = FhirServerSettings(base_url=self.base_url)
        return found | self.servers

    @cached_property
    def default(self) -> str:
        """The name of the server that is used if none is named."""
        if self.default_server:
            return self.default_server
        if self.base_url:
            return "default"
        if len(self.servers) == 1:
            return next(iter(self.servers))
        return "sandbox" if self.sandbox_url else "hapi"

    @model_validator(mode="after")
    def _names(self) -> Self:
        if wrong := [name for name in self.servers if not _SERVER_NAME.fullmatch(name) or name == "file"]:
            raise ValueError(f"not allowed as the name of a server: {', '.join(wrong)}")
        if self.default not in self.by_name:
            raise ValueError(f"fhir.default_server must be one of {', '.join(self.by_name)}")
        return self


class ApiSettings(Section):
    """The REST API.

    Attributes:
        host: the default is loopback. Other machines should reach it through a proxy with TLS.
        port: 0: any free port.
        url: the API's public URL, for links; `None`: the embedded stack's.
        statement_timeout: seconds that one query may take.
        session_hours: how long a browser session of the Web UI lasts.
    """

    host: str = "127.0.0.1"
    port: int = 0
    url: str | None = None
    session_hours: float = 8.0
    statement_timeout: float = 15.0


class AccessSettings(Section):
    """Passwords of users who post records.

    Attributes:
        password_checks: the most checks at once in a process; each takes a core for 0.25 s, and 64 MB.
        password_checks_waiting: the most checks that wait. Further sign-ins get status 503.
        password_remembered: seconds during which a correct password is not checked again.
    """

    password_checks: int = Field(default=1, ge=1)
    password_checks_waiting: int = Field(default=32, ge=0)
    password_remembered: float = 60.0


class RecordSettings(Section):
    """Posted records.

    Attributes:
        per_second: records a second that one user may post. Each process counts by itself.
        burst: records that one user may post at once after a pause; at least the longest list.
        under_way: the most records of a process that wait for Kafka. Further posts get status 503.
        deliver_within: seconds to wait for Kafka's acknowledgement.
    """

    per_second: float = Field(default=1_000.0, ge=0.001, allow_inf_nan=False)
    burst: int = Field(default=10_000, ge=1_000)
    under_way: int = Field(default=20_000, ge=1_000)
    deliver_within: float = Field(default=10.0, gt=0)


class LogSettings(Section):
    """Logs on standard error: `console` for people, `json` for programs."""

    format: Literal["console", "json"] = "console"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
