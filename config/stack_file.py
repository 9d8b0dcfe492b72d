"""What `stack.json` says of the servers, and which settings that is: both directions from one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

type State = Mapping[str, Mapping[str, Any]]
"""The entries of `stack.json`, by the names of the parts."""


@dataclass(frozen=True)
class Server:
    """A server of the stack that somebody else may run as well.

    Attributes:
        part: its name in `stack.json`.
        section: of the settings.
        address: the setting that says whether a server is named at all.
        settings: by their names: the entry of `stack.json` and its key that have the value.
    """

    part: str
    section: str
    address: str
    settings: Mapping[str, tuple[str, str]]

    def in_settings(self, state: State) -> dict[str, Any]:
        """Return the section's settings as a running stack gives them; none where the part does not run."""
        if self.part not in state:
            return {}
        return {name: state.get(entry, {}).get(key) for name, (entry, key) in self.settings.items()}

    def in_stack_file(self, section: object) -> dict[str, dict[str, Any]]:
        """Return the entries for a server that the settings name; none where they name no server."""
        values = {name: plain(getattr(section, name)) for name in self.settings}
        entries: dict[str, dict[str, Any]] = {}
        if values[self.address]:
            for name, (entry, key) in self.settings.items():
                if values[name] or entry == self.part:
                    entries.setdefault(entry, {})[key] = values[name]
        return entries


SERVERS = (
    Server(
        "postgres",
        "postgres",
        "dsn",
        {"dsn": ("postgres", "url"), "read_only_dsn": ("postgres", "read_only_url")},
    ),
    Server(
        "temporal",
        "temporal",
        "address",
        {
            "address": ("temporal", "address"),
            "namespace": ("temporal", "namespace"),
            "ui_url": ("temporal_ui", "url"),
        },
    ),
    Server("s3", "s3", "url", {name: ("s3", name) for name in ("url", "bucket", "access_key", "secret_key")}),
    Server("kafka", "kafka", "bootstrap_servers", {"bootstrap_servers": ("kafka", "bootstrap_servers")}),
)


def plain(value: Any) -> Any:  # noqa: ANN401 - a setting of whatever type
    """Return a secret's text, and any other value as it is."""
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
