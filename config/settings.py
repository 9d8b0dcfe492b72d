"""All settings. There are four places; the first one with a value is used.

1. Environment variables `WARDFLOW_*` (`WARDFLOW_POSTGRES__DSN`: two underscores separate section and name).
2. `stack.json` of a running embedded stack, so that every command on this machine finds the stack.
3. `config/environments/{environment}.toml`, chosen by `WARDFLOW_ENVIRONMENT`.
4. The defaults below.
"""

import json
import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config import fhir
from config.beds import PUBLISHERS, WorkbookSettings
from config.fhir import FhirSettings, SandboxSettings
from config.records import RecordTopics
from config.sections import (
    AccessSettings,
    ApiSettings,
    Downloads,
    EncryptionSettings,
    LogSettings,
    RecordSettings,
    StreamSettings,
    WorkerSettings,
)
from config.servers import (
    EmbeddedStack,
    KafkaCluster,
    LakeSettings,
    ObjectStoreSettings,
    PostgresSettings,
    TemporalSettings,
)
from config.stack_file import SERVERS, is_without_kafka

ENVIRONMENTS = Path(__file__).parent / "environments"


class DownloadSettings(Downloads):
    """Downloads, from the hosts that sources need unless other ones are set."""

    hosts: tuple[str, ...] = PUBLISHERS


class KafkaSettings(KafkaCluster, RecordTopics):
    """The cluster, and the topics of records on it."""


class StackSettings(EmbeddedStack, SandboxSettings):
    """The embedded stack, and the sandbox in it."""


class Settings(BaseSettings):
    """All settings. The module's docstring states where values come from."""

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

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_sections(cls, values: object) -> object:
        """Refuse variables of unknown sections. Inside a section, pydantic refuses unknown names.

        Variables without a section are ignored, since Kubernetes sets some, such as `WARDFLOW_PORT`.
        """
        prefix = str(cls.model_config["env_prefix"])
        names = [name for name in os.environ if name.upper().startswith(prefix) and "__" in name]
        if wrong := [name for name in names if name[len(prefix) :].lower().split("__")[0] not in cls.model_fields]:
            raise ValueError(f"{', '.join(sorted(wrong))}: no such setting")
        return values

    @model_validator(mode="after")
    def _topics_of_one_use(self) -> Self:
        names = (*self.kafka.topics, *self.lake.topics)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the topics {twice} appear twice in kafka.*_topic and lake.topics")
        return self

    @model_validator(mode="after")
    def _no_private_origins_in_production(self) -> Self:
        if self.environment == "production" and self.downloads.private_origins:
            raise ValueError("downloads.private_origins must be empty in production")
        return self

    @cached_property
    def stack_file(self) -> Path:
        """The file with every address, process id and log file of the embedded stack."""
        return self.stack.folder / "stack.json"

    @cached_property
    def key_ring_file(self) -> Path:
        """The file of the key ring that encrypts payloads."""
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
        """The order of the sources, as in the module's docstring."""
        return (
            init_settings,
            env_settings,
            _StackFileSource(settings_cls, init_settings, env_settings),
            _EnvironmentFileSource(settings_cls, init_settings, env_settings),
        )


class _DependentSource(PydanticBaseSettingsSource):
    """A source that needs values of the sources before it."""

    def __init__(self, settings_cls: type[BaseSettings], *earlier: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._earlier = earlier

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ANN401, ARG002 - pydantic's
        return None, field_name, False

    def _earlier_value(self, *path: str) -> Any:  # noqa: ANN401 - any type of value
        for source in self._earlier:
            value: Any = source()
            for name in path:
                value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
            if value is not None:
                return value
        return None


class _EnvironmentFileSource(_DependentSource):
    """`config/environments/{environment}.toml`."""

    def __call__(self) -> dict[str, Any]:
        file = ENVIRONMENTS / f"{self._earlier_value('environment') or 'development'}.toml"
        return tomllib.loads(file.read_text()) if file.exists() else {}


class _StackFileSource(_DependentSource):
    """The addresses and credentials in `stack.json` of a running stack."""

    def __call__(self) -> dict[str, Any]:
        folder = Path(self._earlier_value("stack", "folder") or StackSettings().folder)
        try:
            stack = json.loads((folder / "stack.json").read_text())
        except (OSError, ValueError):
            return {}
        found: dict[str, Any] = {}
        for server in SERVERS:
            # If a setting has a server's address, take nothing of that server from the file: it would not match.
            if server.part in stack and not self._earlier_value(server.section, server.address):
                found[server.section] = server.in_settings(stack)
        if self._turns_kafka_off(stack):
            found["kafka"] = {"enabled": False}
        if "api" in stack and not self._earlier_value("api", "url"):
            found["api"] = {"url": stack["api"]["url"]}
        if sandbox := fhir.from_stack(stack):
            found["fhir"] = sandbox
        return found

    def _turns_kafka_off(self, stack: dict[str, Any]) -> bool:
        """Whether the running stack has Kafka turned off, and no setting turns it on."""
        set_values = (self._earlier_value("kafka", "enabled"), self._earlier_value("kafka", "bootstrap_servers"))
        return is_without_kafka(stack) and set_values == (None, None)
