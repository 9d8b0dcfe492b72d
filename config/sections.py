"""Settings of Wardflow's own processes and their limits, whatever the source."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from config.servers import MEBIBYTE, Section

LONGEST_POST = 1_000
"""The most records of one post."""

LARGEST_POST = 64 * 1024
"""The largest posted record in bytes: far more than its fields need, and far less than a topic allows."""


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
    record_bytes: int = Field(default=MEBIBYTE, ge=LARGEST_POST)
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


class Downloads(Section):
    """Downloads by URL. `library.web.guard.Guard` is made from these.

    Attributes:
        hosts: allowed hosts: a name, or `.name` for all names below it.
        private_origins: your own servers, each as host:port; none in production.
        deadline: seconds for one whole download.
        proxy: an egress proxy for every download.
        ca_file: certificates to trust instead of the system's.
    """

    hosts: tuple[str, ...] = ()
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
    burst: int = Field(default=10_000, ge=LONGEST_POST)
    under_way: int = Field(default=20_000, ge=LONGEST_POST)
    deliver_within: float = Field(default=10.0, gt=0)


class LogSettings(Section):
    """Logs on standard error: `console` for people, `json` for programs."""

    format: Literal["console", "json"] = "console"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
