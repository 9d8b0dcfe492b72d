"""Errors of records that were posted or that a topic contains."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """An error of a field. The text never quotes the field's value.

    Attributes:
        field: its name in snake_case; an unknown name is as the sender wrote it; empty: the record as a whole.
    """

    field: str
    text: str

    @property
    def reason(self) -> str:
        """For `ingest.rejection`."""
        return f"{self.field}: {self.text}" if self.field else self.text


class RecordRefused(ValueError):
    """A record is not valid.

    Attributes:
        errors: all errors that were found.
    """

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(error.reason for error in errors))
        self.errors = errors

    @property
    def reasons(self) -> list[str]:
        """For `ingest.rejection`."""
        return [error.reason for error in self.errors]
