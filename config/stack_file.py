"""One table that translates between the servers in `stack.json` and their settings, in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

type StackEntries = Mapping[str, Mapping[str, Any]]
"""The entries of `stack.json`, by the names of the parts."""


@dataclass(frozen=True)
class StackServer:
    """A server of the stack, which may also be an external one.

    Attributes:
        part: its name in `stack.json`.
        section: its section of the settings.
        address: the setting with the server's address. If it is empty, no external server is used.
        settings: for each setting, the entry of `stack.json` and the key that have its value.
    """

    part: str
    section: str
    address: str
    settings: Mapping[str, tuple[str, str]]

    def in_settings(self, state: StackEntries) -> dict[str, Any]:
        """The section's settings from a running stack; empty if the part does not run."""
        if self.part not in state:
            return {}
        return {name: state.get(entry, {}).get(key) for name, (entry, key) in self.settings.items()}

    def in_stack_file(self, section: object) -> dict[str, dict[str, Any]]:
        """The entries of a server that the settings name; empty if they name none."""
        values = {name: plain(getattr(section, name)) for name in self.settings}
        entries: dict[str, dict[str, Any]] = {}
        if values[self.address]:
            for name, (entry, key) in self.settings.items():
                if values[name] or entry == self.part:
                    entries.setdefault(entry, {})[key] = values[name]
        return entries


SERVERS = (
    StackServer(
        "postgres",
        "postgres",
        "dsn",
        {"dsn": ("postgres", "url"), "read_only_dsn": ("postgres", "read_only_url")},
    ),
    StackServer(
        "temporal",
        "temporal",
        "address",
        {
            "address": ("temporal", "address"),
            "namespace": ("temporal", "namespace"),
            "ui_url": ("temporal_ui", "url"),
        },
    ),
    StackServer("s3", "s3", "url", {name: ("s3", name) for name in ("url", "bucket", "access_key", "secret_key")}),
    StackServer("kafka", "kafka", "bootstrap_servers", {"bootstrap_servers": ("kafka", "bootstrap_servers")}),
)


def plain(value: Any) -> Any:  # noqa: ANN401 - a setting of whatever type
    """The text of a secret; any other value unchanged."""
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def is_without_kafka(stack: Mapping[str, Any]) -> bool:
    """Whether a complete `stack.json` says that the stack runs with Kafka turned off."""
    is_complete = stack.get("wardflow", {}).get("state") == "running"
    return is_complete and "kafka" not in stack
