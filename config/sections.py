"""Settings of what Wardflow itself does, whatever the source: its processes and their limits."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from config.servers import MEBIBYTE, Section


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


class LogSettings(Section):
    """Logs go to standard error: `console` for people, `json` for machines."""

    format: Literal["console", "json"] = "console"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
