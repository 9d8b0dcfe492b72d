"""Passwords and keys of the embedded servers. They are random, and stored in `credentials.json` (mode 0600)."""

import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from library.contracts.errors import ConfigurationError
from service.stack.files import read_json, write_json


def _secret() -> str:
    return secrets.token_urlsafe(32)  # letters, digits, - and _: needs no escaping in URLs and SQL


@dataclass(frozen=True)
class StackCredentials:
    """The passwords and keys of clients, and `s3_internal_key`, which the parts of SeaweedFS use among themselves."""

    postgres_owner_password: str = field(default_factory=_secret, repr=False)
    postgres_reader_password: str = field(default_factory=_secret, repr=False)
    s3_access_key: str = field(default_factory=lambda: secrets.token_hex(10))
    s3_secret_key: str = field(default_factory=_secret, repr=False)
    s3_internal_key: str = field(default_factory=_secret, repr=False)

    @classmethod
    def load_or_make(cls, file: Path) -> "StackCredentials":
        """Read the file, or create it.

        Raises:
            ConfigurationError: the file is damaged. New passwords would not match the servers' data.
        """
        if not file.exists():
            made = cls()
            write_json(file, asdict(made))
            return made
        content = read_json(file)
        if any(not isinstance(content.get(each.name), str) for each in fields(cls)):
            raise ConfigurationError(
                f"{file} is damaged: it does not contain the passwords of the embedded servers.",
                advice="Restore it from a backup, or move the whole folder away to begin with an empty stack.",
            )
        return cls(**{each.name: content[each.name] for each in fields(cls)})
