"""Settings of the servers that Wardflow uses, and of the embedded stack that runs them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

MEBIBYTE = 1024 * 1024

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder of this program."""


def default_folder() -> Path:
    """`.wardflow` in the checkout; without a checkout, in the working folder."""
    return (CHECKOUT if (CHECKOUT / "pyproject.toml").exists() else Path.cwd()) / ".wardflow"


TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
"""The names that Kafka allows for topics."""

type TopicName = Annotated[str, Field(pattern=TOPIC)]


class Section(BaseModel):
    """A part of the settings. It is immutable, and refuses unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresSettings(Section):
    """The warehouse.

    Attributes:
        dsn: the address and the credentials for loads; `None`: the embedded Postgres.
        read_only_dsn: the address and the credentials for `wardflow sql` and queries.
        pool_size: the most connections of a process. A worker has two more for each load that runs at once.
        lock_timeout: seconds that a load waits for another one before it is retried.
        statement_timeout: seconds that one statement of a load may take.
        idle_in_transaction_timeout: seconds after which a frozen process loses its transaction and its locks. It is
            shorter than `lock_timeout`, so that loads that wait for the locks get them.
        load_work_mem: the memory of each sort or hash of a load before it uses the disk.
    """

    dsn: SecretStr | None = None
    read_only_dsn: SecretStr | None = None
    pool_size: int = 8
    lock_timeout: float = 30.0
    statement_timeout: float = 1_800.0
    idle_in_transaction_timeout: float = 10.0
    load_work_mem: str = "128MB"


class TemporalSettings(Section):
    """The Temporal service.

    Attributes:
        address: host:port of its frontend; `None`: the embedded one.
        namespace: `wardflow migrate` creates it if it is missing.
        retention_days: how long closed histories are kept.
        ui_url: the base URL of the Web UI, for links.
        api_key: for Temporal Cloud; implies TLS.
    """

    address: str | None = None
    namespace: str = "wardflow"
    retention_days: int = 30
    ui_url: str | None = None
    tls: bool = False
    api_key: SecretStr | None = None


class ObjectStoreSettings(Section):
    """The object store: any S3-compatible server.

    Attributes:
        url: http(s)://host:port; `None`: the embedded SeaweedFS.
        bucket: a private bucket. `wardflow migrate` creates it if it is missing.
    """

    url: str | None = None
    bucket: str = "wardflow"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    region: str = "us-east-1"


class KafkaCluster(Section):
    """A Kafka cluster.

    Attributes:
        enabled: `false` turns Kafka off. Then there are no streams, and no records can be posted.
        bootstrap_servers: host:port, several separated by commas; `None`: the embedded broker.
        sasl_mechanism, sasl_user, sasl_password: the login if `security_protocol` begins with SASL.
        ca_file: certificates to trust instead of the system's.
        partitions, replication: used when `wardflow migrate` creates a topic. Existing topics are not changed.
        request_timeout: seconds that one request may take.
    """

    enabled: bool = True
    bootstrap_servers: str | None = None
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_user: str | None = None
    sasl_password: SecretStr | None = None
    ca_file: Path | None = None
    partitions: int = Field(default=4, ge=1)
    replication: int = Field(default=1, ge=1)
    request_timeout: float = 15.0


class LakeSettings(Section):
    """The lake: Delta tables in the bucket of the object store.

    Attributes:
        append_seconds, append_bytes: records are appended to a table when one of the two is reached. It must be much
            less than the time of one attempt of an archive, 15 minutes.
        keep_hours: how long files of older table versions are kept.
        topics: further topics that are archived in the lake, but not loaded into the warehouse.
    """

    append_seconds: float = Field(default=60.0, gt=0, le=300)
    append_bytes: int = 64 * MEBIBYTE
    keep_hours: int = Field(default=168, ge=24)
    topics: tuple[TopicName, ...] = ()


class EmbeddedStack(Section):
    """The embedded stack.

    Attributes:
        folder: the folder of data, logs, keys and `stack.json`. A relative path starts at the working folder. The
            default is `.wardflow` in the checkout, from every working folder.
        user: the user that runs Postgres when root starts the stack; `None`: `embedded_postgres`, who is created if
            missing, or root in a user namespace if that user cannot read checkout and data.
        jars: the folder of Kafka's jars for all stacks of this user; `None`: a folder in the user's cache.
        maven_repository: the URL to download them from; `None`: Maven's central repository.
        reload: for developers: restart worker and API when their code changes.
        *_port: a fixed port; `None`: the port of last time if it is free, else any free port.
    """

    folder: Path = Field(default_factory=default_folder)
    user: str | None = None
    jars: Path | None = None
    maven_repository: str | None = None
    postgres_port: int | None = None
    temporal_port: int | None = None
    temporal_ui_port: int | None = None
    s3_port: int | None = None
    kafka_port: int | None = None
    worker_port: int | None = None
    api_port: int | None = None
    reload: bool = False

    @property
    def ports(self) -> dict[str, int]:
        """The fixed ports, by the names of their parts."""
        ports = {name.removesuffix("_port"): port for name, port in self if name.endswith("_port")}
        return {name: port for name, port in ports.items() if port is not None}
