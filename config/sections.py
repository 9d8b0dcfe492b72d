"""Settings of what Wardflow itself does: its processes, its sources, its limits."""

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
        raise ValueError(f"no regular expression: {error}") from None
    return pattern


class WorkerSettings(Section):
    """One worker process.

    Attributes:
        queues: the task queues that it serves.
        queue_prefix: put before each queue's name, so that tests and deployments can share a namespace.
        *_slots: how much it does at once, by queue; `load` is bounded by database connections, `compute` by cores;
            `streams` has one for each partition and archive, of which few hold a connection at a time.
        tuner: `slots`: as many at once as the slots say; `resources`: these are the most, and fewer steps begin while
            the machine has less than it should have left.
        target_cpu, target_memory: shares of the machine that `resources` fills up to.
        graceful_shutdown: seconds that running activities get to finish when the worker is told to stop.
        host, port: where health and metrics are served; loopback unless set, since they have no token.
        deployment_name, build_id: worker versioning; off while `build_id` is empty.
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
        batch_records, batch_bytes: of one transaction at most.
        record_bytes: a record with a larger value is refused; the record APIs accept up to 64 KiB.
        seconds: that one activity drains before the next one does.
        wait: seconds that a look at an idle partition waits for a record.
    """

    batch_records: int = Field(default=20_000, ge=1)
    batch_bytes: int = Field(default=16 * MEBIBYTE, ge=1)
    record_bytes: int = Field(default=MEBIBYTE, ge=64 * 1024)
    seconds: float = Field(default=60.0, gt=0, le=120)
    wait: float = Field(default=1.0, gt=0, le=10)


class EncryptionSettings(Section):
    """Encryption of Temporal payloads.

    Attributes:
        enabled: off only for debugging and for tests that look into histories.
        key_ring: a JSON file that all processes share; `None`: `keys.json` in the stack's folder.
    """

    enabled: bool = True
    key_ring: Path | None = None


class WorkbookSettings(Section):
    """Limits for reading workbooks; the requirement's bounds on a sheet (5,000 rows, 300 columns) are the reader's own.

    Attributes:
        max_bytes: of the file as it arrives.
        max_memory: bytes that the reading process may take over what it has when it starts.
        max_seconds: wall clock.
    """

    max_bytes: int = 50 * MEBIBYTE
    max_memory: int = 256 * MEBIBYTE
    max_seconds: float = Field(default=60.0, gt=0, le=120)


class DownloadSettings(Section):
    """Downloads by URL; see `library.web.guard.Guard`, which these become.

    Attributes:
        hosts: that may be asked: a name, or `.name` for all names below it.
        private_origins: servers of your own, each as host:port; none in production.
        deadline: seconds for one download in all.
        proxy: an egress proxy that every download goes through.
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
    """A FHIR R4 server; its base is trusted as an origin, so that it may have a private address.

    Attributes:
        base_url: http(s)://host[:port][/path].
        token: a bearer token; or
        client_id, client_secret, token_url, scope: OAuth client credentials.
        next_origins: how the server calls itself behind its proxy, each as scheme://host[:port]: links of pages and
            files with such an origin are followed at the base's.
    """

    base_url: str = Field(pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$")
    token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    token_url: str | None = None
    scope: str = "system/*.read"
    next_origins: tuple[str, ...] = ()


class FhirSettings(Section):
    """FHIR servers that are read, and how.

    Attributes:
        base_url: of a server named `default`, which is then the default one.
        servers: by name; `hapi`, HAPI's public one, is always there.
        default_server: the one that is asked where none is named; unless set: `default` if it has a base, else the
            only one of `servers`, else the embedded stack's sandbox, else `hapi`.
        sandbox_url: of the embedded stack's sandbox: the server `sandbox`.
        zipcode: what a zip code looks like.
        page_size: resources a page, as far as the server agrees.
        batch: patients that are asked for in one search for observations.
        window: searches that are under way at once.
        large_zipcode: patients from which on parts of an import become workflows of their own.
        part: searches that such a part has.
        history: events after which a workflow continues as new.
        rate: calls a second, over all workers.
        overlap: seconds that a search for what has changed reaches back before the last one: what a server commits
            late, it stamps early.
        max_page_bytes: of a page, inflated.
        max_file_bytes: of an NDJSON file.
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
        """Every server that can be asked."""
        found = {"hapi": FhirServerSettings(base_url=HAPI)}
        if self.sandbox_url:
            found["sandbox"] = FhirServerSettings(base_url=self.sandbox_url)
        if self.base_url:
            found["default"] = FhirServerSettings(base_url=self.base_url)
        return found | self.servers

    @cached_property
    def default(self) -> str:
        """The name of the server that is asked where none is named."""
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
            raise ValueError(f"not a name for a server: {', '.join(wrong)}")
        if self.default not in self.by_name:
            raise ValueError(f"fhir.default_server is none of {', '.join(self.by_name)}")
        return self


class ApiSettings(Section):
    """The REST API.

    Attributes:
        host: loopback unless set: in front of other machines belongs a proxy that speaks TLS.
        port: 0: any free one.
        url: where people reach it, for links; `None`: the embedded stack's.
        statement_timeout: seconds that one query may take.
        session_hours: how long a browser stays signed in to the Web UI.
    """

    host: str = "127.0.0.1"
    port: int = 0
    url: str | None = None
    session_hours: float = 8.0
    statement_timeout: float = 15.0


class AccessSettings(Section):
    """Passwords of users who post records.

    Attributes:
        password_checks: that a process makes side by side; each takes a core for 0.25 s, and 64 MB.
        password_checks_waiting: that may wait for their turn; beyond, sign-ins are answered with 503.
        password_remembered: seconds for which a right password is not checked again.
    """

    password_checks: int = Field(default=1, ge=1)
    password_checks_waiting: int = Field(default=32, ge=0)
    password_remembered: float = 60.0


class RecordSettings(Section):
    """Records by API.

    Attributes:
        per_second: records that one user may post, steadily; each process counts by itself.
        burst: that one may post at once after a pause; no less than the longest list.
        under_way: records that wait for Kafka at once in a process; beyond, posts are answered with 503.
        deliver_within: seconds that Kafka gets to acknowledge them.
    """

    per_second: float = Field(default=1_000.0, ge=0.001, allow_inf_nan=False)
    burst: int = Field(default=10_000, ge=1_000)
    under_way: int = Field(default=20_000, ge=1_000)
    deliver_within: float = Field(default=10.0, gt=0)


class LogSettings(Section):
    """Logs go to standard error: `console` for people, `json` for machines."""

    format: Literal["console", "json"] = "console"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
