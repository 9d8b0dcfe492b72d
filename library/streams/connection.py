"""The connection to a Kafka cluster, and the translation of aiokafka's errors."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiokafka import errors

from library.contracts.errors import ConfigurationError, WardflowError
from library.contracts.streams import KafkaRefused, KafkaUnavailable, RecordTooLarge, TopicMissing


@dataclass(frozen=True)
class Connection:
    """The address and the credentials of a Kafka cluster.

    Attributes:
        bootstrap_servers: host:port, several separated by commas.
        ca_file: certificates to trust instead of the system's.
        request_timeout: the time limit of one request, in seconds.
    """

    bootstrap_servers: str
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_user: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    request_timeout: float = 15.0

    def options(self) -> dict[str, Any]:
        """The keyword arguments that aiokafka's clients have in common.

        Raises:
            ConfigurationError: the settings contradict each other.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",")],
            "client_id": "wardflow",
            "security_protocol": self.security_protocol,
            "request_timeout_ms": int(self.request_timeout * 1000),
        }
        if self.security_protocol.endswith("SSL"):
            try:
                options["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:
                raise ConfigurationError(
                    f"The certificates in {self.ca_file} cannot be read.", advice="Correct WARDFLOW_KAFKA__CA_FILE."
                ) from error
        if self.security_protocol.startswith("SASL"):
            if not self.sasl_user or not self.sasl_password:
                raise ConfigurationError(
                    f"Kafka's {self.security_protocol} needs a user and a password.",
                    advice="Set WARDFLOW_KAFKA__SASL_USER and WARDFLOW_KAFKA__SASL_PASSWORD.",
                )
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_user,
                "sasl_plain_password": self.sasl_password,
            }
        return options


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Translate aiokafka's errors into this program's errors.

    Args:
        subject: the subject of the request, for the message: "the topic patient".
    """
    try:
        yield
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise as_ours(error, subject) from error


def as_ours(error: BaseException, subject: str) -> WardflowError:
    """Translate one error. aiokafka's text is dropped, since it can contain a record's key."""
    name = type(error).__name__
    match error:
        case errors.MessageSizeTooLargeError() | errors.RecordListTooLargeError():
            return RecordTooLarge(f"A record for {subject} is larger than Kafka allows.")
        case errors.UnknownTopicOrPartitionError():
            return TopicMissing(f"Kafka does not know {subject}.")
        case errors.KafkaError() if not error.retriable and not isinstance(error, _GONE):
            return KafkaRefused(f"Kafka refused a request about {subject} ({name}).")
        case _:
            return KafkaUnavailable(f"Kafka did not answer a request about {subject} ({name}).")


_GONE = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.RequestTimedOutError,
    errors.NodeNotReadyError,
    errors.StaleMetadata,
    errors.ProducerClosed,
    errors.CorruptRecordException,  # damaged on the way; a damaged stored record makes the next fetch fail too
)
"""Temporary errors that aiokafka does not mark as retriable."""
