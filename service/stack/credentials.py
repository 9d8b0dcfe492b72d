"""Passwords and keys of the embedded servers: random, made once, kept in `credentials.json` (mode 0600)."""

import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from library.contracts.errors import ConfigurationError
from service.stack.files import read_json, write_json


def _secret() -> str:
    return secrets.token_urlsafe(32)  # letters, digits, - and _: fits into URLs and SQL as it is


@dataclass(frozen=True)
class Credentials:
    """What clients need to get in, and (`s3_internal_key`) what the parts of SeaweedFS need among themselves."""

    postgres_owner_password: str = field(default_factory=_secret, repr=False)
    postgres_reader_password: str = field(default_factory=_secret, repr=False)
    s3_access_key: str = field(default_factory=lambda: secrets.token_hex(10))
    s3_secret_key: str = field(default_factory=_secret, repr=False)
    s3_internal_key: str = field(default_factory=_secret, repr=False)

    @classmethod
    def load_or_make(cls, file: Path) -> "Credentials":
        """Read the file, or make it.

        Raises:
            ConfigurationError: the file is there and is not what was written: new passwords would not fit the data.
        """
        if not file.exists():
            made = cls()
            write_json(file, asdict(made))
            return made
        content = read_json(file)
        if any(not isinstance(content.get(each.name), str) for each in fields(cls)):
            raise ConfigurationError(
                f"{file} is damaged: it does not hold the passwords of the embedded servers.",
                advice="Restore it from a backup, or move the whole folder aside to begin with an empty stack.",
            )
        return cls(**{each.name: content[each.name] for each in fields(cls)})
