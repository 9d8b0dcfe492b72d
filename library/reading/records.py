"""What is wrong with a record that was posted, or that a topic holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """What is wrong with a field; the text never quotes what was sent.

    Attributes:
        field: its name in snake_case, as sent where we do not know it; empty: the record as a whole.
    """

    field: str
    text: str

    @property
    def reason(self) -> str:
        """For `ingest.rejection`."""
        return f"{self.field}: {self.text}" if self.field else self.text


class RecordRefused(ValueError):
    """A record that is none.

    Attributes:
        errors: everything that speaks against it.
    """

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(error.reason for error in errors))
        self.errors = errors

    @property
    def reasons(self) -> list[str]:
        """For `ingest.rejection`."""
        return [error.reason for error in self.errors]
