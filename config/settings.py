"""All settings, from four places; the first that names a value wins.

1. `WARDFLOW_*` environment variables (`WARDFLOW_POSTGRES__DSN`: two underscores go one level down);
2. `stack.json` of a running embedded stack, so that every command on this machine finds it without being told;
3. `config/environments/{environment}.toml`, chosen by `WARDFLOW_ENVIRONMENT`;
4. the defaults below.
"""

import json
import os
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENVIRONMENTS = Path(__file__).parent / "environments"
MEBIBYTE = 1024 * 1024
HAPI = "https://hapi.fhir.org/baseR4"
_SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresSettings(_Section):
    """The warehouse.

    Attributes:
        dsn: where and as whom to load; `None`: the embedded Postgres.
        read_only_dsn: as whom `wardflow sql` and queries read.
        pool_size: connections that a process keeps at most; a worker has two more for each load that runs at once.
        lock_timeout: seconds that a load waits for another one before it is repeated.
        statement_timeout: seconds that one statement of a load may take.
        idle_in_transaction_timeout: seconds after which a frozen process loses its transaction, and with it its locks.
            Shorter than `lock_timeout`, so that those who wait for a frozen process outlast it.
        load_work_mem: memory that a load's sorts and hashes may take each before they use the disk.
    """

    dsn: SecretStr | None = None
    read_only_dsn: SecretStr | None = None
    pool_size: int = 8
    lock_timeout: float = 30.0
    statement_timeout: float = 1_800.0
    idle_in_transaction_timeout: float = 10.0
    load_work_mem: str = "128MB"


class TemporalSettings(_Section):
    """The Temporal service.

    Attributes:
        address: host:port of its frontend; `None`: the embedded one.
        namespace: made by `wardflow migrate` where it is missing.
        retention_days: how long closed histories are kept.
        ui_url: base of the Web UI, for links.
        api_key: for Temporal Cloud; implies TLS.
    """

    address: str | None = None
    namespace: str = "wardflow"
    retention_days: int = 30
    ui_url: str | None = None
    tls: bool = False
    api_key: SecretStr | None = None


class ObjectStoreSettings(_Section):
    """Any S3-compatible store.

    Attributes:
        url: http(s)://host:port; `None`: the embedded SeaweedFS.
        bucket: private, made by `wardflow migrate` where it is missing.
    """

    url: str | None = None
    bucket: str = "wardflow"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    region: str = "us-east-1"


class KafkaSettings(_Section):
    """Any Kafka cluster.

    Attributes:
        enabled: off to do without Kafka: then neither streams nor records.
        bootstrap_servers: host:port, several parted by commas; `None`: the embedded broker.
        sasl_mechanism, sasl_user, sasl_password: where `security_protocol` begins with SASL.
        ca_file: certificates to trust instead of the system's.
        patient_topic, admissions_topic, lab_results_topic: names of the topics of records.
        partitions, replication: of a topic that `wardflow migrate` makes; a topic that is there is left as it is.
        request_timeout: seconds that one request may take.
    """

    enabled: bool = True
    bootstrap_servers: str | None = None
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_user: str | None = None
    sasl_password: SecretStr | None = None
    ca_file: Path | None = None
    patient_topic: str = "patient"
    admissions_topic: str = "admissions"
    lab_results_topic: str = "lab_results"
    partitions: int = Field(default=4, ge=1)
    replication: int = Field(default=1, ge=1)
    request_timeout: float = 15.0

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that `wardflow migrate` makes."""
        return (self.patient_topic, self.admissions_topic, self.lab_results_topic)


class LakeSettings(_Section):
    """The lake: Delta tables in the bucket of the object store.

    Attributes:
        append_seconds, append_bytes: what was read of a topic is appended to its table when either is reached.
        keep_hours: for how long files of older versions of a table stay.
        topics: that go to the lake, and nowhere else, beside those of records.
    """

    append_seconds: float = Field(default=60.0, gt=0)
    append_bytes: int = 64 * MEBIBYTE
    keep_hours: int = Field(default=168, ge=24)
    topics: tuple[str, ...] = ()


class StackSettings(_Section):
    """The embedded stack.

    Attributes:
        folder: data, logs, keys and `stack.json` of the embedded stack.
        jars: where Kafka's jars are kept for all stacks of this user; `None`: in the user's cache folder.
        maven_repository: where they are fetched from; `None`: from where everybody does.
        fhir_sandbox: whether a FHIR server with synthetic sample data runs beside the others.
        *_port: a port of your own; `None`: the one used last time if it is free, else any free one.
    """

    folder: Path = Path(".wardflow")
    jars: Path | None = None
    maven_repository: str | None = None
    postgres_port: int | None = None
    temporal_port: int | None = None
    temporal_ui_port: int | None = None
    s3_port: int | None = None
    kafka_port: int | None = None
    worker_port: int | None = None
    api_port: int | None = None
    fhir_sandbox: bool = True
    fhir_sandbox_port: int | None = None


class WorkerSettings(_Section):
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


class StreamSettings(_Section):
    """Draining topics into the warehouse.

    Attributes:
        batch_records, batch_bytes: of one transaction at most.
        record_bytes: a record with a larger value is refused.
        seconds: that one activity drains before the next one does.
        wait: seconds that a look at an idle partition waits for a record.
    """

    batch_records: int = Field(default=20_000, ge=1)
    batch_bytes: int = 16 * MEBIBYTE
    record_bytes: int = MEBIBYTE
    seconds: float = Field(default=60.0, gt=0, le=120)
    wait: float = Field(default=1.0, gt=0, le=10)


class EncryptionSettings(_Section):
    """Encryption of Temporal payloads.

    Attributes:
        enabled: off only for debugging and for tests that look into histories.
        key_ring: a JSON file that all processes share; `None`: `keys.json` in the stack's folder.
    """

    enabled: bool = True
    key_ring: Path | None = None


class WorkbookSettings(_Section):
    """Limits for reading workbooks; the requirement's bounds on a sheet (5,000 rows, 300 columns) are the reader's own.

    Attributes:
        max_bytes: of the file as it arrives.
        max_memory: bytes that the reading process may take over what it has when it starts.
        max_seconds: wall clock, and processor time too.
    """

    max_bytes: int = 50 * MEBIBYTE
    max_memory: int = 256 * MEBIBYTE
    max_seconds: float = Field(default=60.0, gt=0, le=120)


class DownloadSettings(_Section):
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


class FhirServerSettings(_Section):
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


class FhirSettings(_Section):
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
    zipcode: str = r"[0-9]{5}(-[0-9]{4})?"
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


class ApiSettings(_Section):
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


class AccessSettings(_Section):
    """Passwords of users who post records.

    Attributes:
        password_checks: that a process makes side by side; each takes a core for 0.25 s, and 64 MB.
        password_checks_waiting: that may wait for their turn; beyond, sign-ins are answered with 503.
        password_remembered: seconds for which a right password is not checked again.
    """

    password_checks: int = Field(default=1, ge=1)
    password_checks_waiting: int = Field(default=32, ge=0)
    password_remembered: float = 60.0


class RecordSettings(_Section):
    """Records by API.

    Attributes:
        per_second: records that one user may post, steadily; each process counts by itself.
        burst: that one may post at once after a pause; no less than the longest list.
        under_way: records that wait for Kafka at once in a process; beyond, posts are answered with 503.
        deliver_within: seconds that Kafka gets to acknowledge them.
    """

    per_second: float = Field(default=1_000.0, gt=0)
    burst: int = Field(default=10_000, ge=1_000)
    under_way: int = Field(default=20_000, ge=1_000)
    deliver_within: float = Field(default=10.0, gt=0)


class LogSettings(_Section):
    """Logs go to standard error: `console` for people, `json` for machines."""

    format: Literal["console", "json"] = "console"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Settings(BaseSettings):
    """Everything that can be set; see the module's docstring for where values come from."""

    model_config = SettingsConfigDict(env_prefix="WARDFLOW_", env_nested_delimiter="__", extra="forbid", frozen=True)

    environment: Literal["development", "test", "production"] = "development"
    postgres: PostgresSettings = PostgresSettings()
    temporal: TemporalSettings = TemporalSettings()
    s3: ObjectStoreSettings = ObjectStoreSettings()
    kafka: KafkaSettings = KafkaSettings()
    streams: StreamSettings = StreamSettings()
    lake: LakeSettings = LakeSettings()
    stack: StackSettings = StackSettings()
    worker: WorkerSettings = WorkerSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    workbook: WorkbookSettings = WorkbookSettings()
    downloads: DownloadSettings = DownloadSettings()
    fhir: FhirSettings = FhirSettings()
    api: ApiSettings = ApiSettings()
    access: AccessSettings = AccessSettings()
    records: RecordSettings = RecordSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _no_private_origins_in_production(self) -> Self:
        if self.environment == "production" and self.downloads.private_origins:
            raise ValueError("downloads.private_origins must be empty in production")
        return self

    @cached_property
    def stack_file(self) -> Path:
        """The file that names every address, process and log of the embedded stack."""
        return self.stack.folder / "stack.json"

    @cached_property
    def key_ring_file(self) -> Path:
        """The key ring for payload encryption."""
        return self.encryption.key_ring or self.stack.folder / "keys.json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the module's docstring says."""
        return (
            init_settings,
            env_settings,
            _StackFileSource(settings_cls, init_settings, env_settings),
            _EnvironmentFileSource(settings_cls, init_settings, env_settings),
        )


class _LaterSource(PydanticBaseSettingsSource):
    """A source that needs to know what the earlier ones said."""

    def __init__(self, settings_cls: type[BaseSettings], *earlier: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._earlier = earlier

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ANN401, ARG002 - pydantic's
        return None, field_name, False

    def _said(self, *path: str) -> Any:  # noqa: ANN401 - whatever the earlier source holds
        for source in self._earlier:
            value: Any = source()
            for name in path:
                value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
            if value is not None:
                return value
        return None


class _EnvironmentFileSource(_LaterSource):
    """`config/environments/{environment}.toml`."""

    def __call__(self) -> dict[str, Any]:
        file = ENVIRONMENTS / f"{self._said('environment') or 'development'}.toml"
        return tomllib.loads(file.read_text()) if file.exists() else {}


class _StackFileSource(_LaterSource):
    """The addresses and credentials in `stack.json`, where a stack runs."""

    def __call__(self) -> dict[str, Any]:
        folder = Path(self._said("stack", "folder") or StackSettings().folder)
        try:
            stack = json.loads((folder / "stack.json").read_text())
        except (OSError, ValueError):
            return {}
        found: dict[str, Any] = {}
        # A part that was named by a setting is taken from there whole: half an address of each would fit neither.
        if "postgres" in stack and not self._said("postgres", "dsn"):
            found["postgres"] = {"dsn": stack["postgres"]["url"], "read_only_dsn": stack["postgres"]["read_only_url"]}
        if "temporal" in stack and not self._said("temporal", "address"):
            found["temporal"] = {
                "address": stack["temporal"]["address"],
                "namespace": stack["temporal"]["namespace"],
                "ui_url": stack.get("temporal_ui", {}).get("url"),
            }
        if "s3" in stack and not self._said("s3", "url"):
            found["s3"] = {name: stack["s3"][name] for name in ("url", "bucket", "access_key", "secret_key")}
        if "kafka" in stack and not self._said("kafka", "bootstrap_servers"):
            found["kafka"] = {"bootstrap_servers": stack["kafka"]["bootstrap_servers"]}
        if "api" in stack and not self._said("api", "url"):
            found["api"] = {"url": stack["api"]["url"]}
        if "fhir_sandbox" in stack:
            found["fhir"] = {"sandbox_url": stack["fhir_sandbox"]["url"]}
        return found
