"""Settings of the servers that Wardflow stands on, and of the embedded stack that brings them along."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

MEBIBYTE = 1024 * 1024

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder that holds this program."""


def default_folder() -> Path:
    """Return `.wardflow` in the checkout; without a checkout, in the working folder."""
    return (CHECKOUT if (CHECKOUT / "pyproject.toml").exists() else Path.cwd()) / ".wardflow"


TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
"""What Kafka takes as a topic's name."""

type TopicName = Annotated[str, Field(pattern=TOPIC)]


class Section(BaseModel):
    """A part of the settings: frozen, and refusing names that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresSettings(Section):
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


class TemporalSettings(Section):
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


class ObjectStoreSettings(Section):
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


class KafkaCluster(Section):
    """Any Kafka cluster.

    Attributes:
        enabled: off to do without Kafka: then neither streams nor records.
        bootstrap_servers: host:port, several parted by commas; `None`: the embedded broker.
        sasl_mechanism, sasl_user, sasl_password: where `security_protocol` begins with SASL.
        ca_file: certificates to trust instead of the system's.
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
    partitions: int = Field(default=4, ge=1)
    replication: int = Field(default=1, ge=1)
    request_timeout: float = 15.0


class LakeSettings(Section):
    """The lake: Delta tables in the bucket of the object store.

    Attributes:
        append_seconds, append_bytes: what was read of a topic is appended to its table when either is reached; it has
            to happen well within an attempt of the archive, a quarter of an hour.
        keep_hours: for how long files of older versions of a table stay.
        topics: that go to the lake, and nowhere else, beside those of records.
    """

    append_seconds: float = Field(default=60.0, gt=0, le=300)
    append_bytes: int = 64 * MEBIBYTE
    keep_hours: int = Field(default=168, ge=24)
    topics: tuple[TopicName, ...] = ()


class EmbeddedStack(Section):
    """The embedded stack.

    Attributes:
        folder: data, logs, keys and `stack.json` of the embedded stack. A relative path starts at the working folder;
            the default is `.wardflow` in the checkout, wherever a command is called.
        user: who runs Postgres where root starts the stack; `None`: `embedded_postgres`, who is made where missing, or
            where that user cannot reach checkout and data, root itself in a user namespace.
        jars: where Kafka's jars are kept for all stacks of this user; `None`: in the user's cache folder.
        maven_repository: where they are fetched from; `None`: from where everybody does.
        reload: for developers: restart worker and API when their code changes.
        *_port: a port of your own; `None`: the one used last time if it is free, else any free one.
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
        """The ports that settings request, by the names of their parts."""
        ports = {name.removesuffix("_port"): port for name, port in self if name.endswith("_port")}
        return {name: port for name, port in ports.items() if port is not None}
