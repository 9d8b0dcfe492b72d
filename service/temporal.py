"""The connection to Temporal: one data converter for starters, workers, replays and tools."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec
from temporalio.runtime import Runtime
from temporalio.service import RPCError

from config.settings import Settings
from library.access.encryption import KeyRing
from library.contracts.errors import ConfigurationError, WardflowError

_ENCODING = b"binary/aes-256-gcm"


class TemporalUnavailable(WardflowError):
    """The Temporal service does not answer."""

    retryable = True
    default_advice = "Start the stack with `wardflow up`, or see `wardflow doctor`."


class EncryptionCodec(PayloadCodec):
    """Encrypts every payload: inputs, results, heartbeats, memos and, by the failure converter, error texts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ring = KeyRing.read(file)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt what is encrypted; leave the rest as it is, so that histories from before stay readable."""
        return [
            self._decrypt(payload.metadata["key"].decode(), payload.data)
            if payload.metadata.get("encoding") == _ENCODING
            else payload
            for payload in payloads
        ]

    def _decrypt(self, name: str, sealed: bytes) -> Payload:
        if name not in self._ring.keys:
            self._ring = KeyRing.read(self._file)  # a key that was added since this process began
        return Payload.FromString(self._ring.decrypt(name, sealed))

    def _encrypt(self, payload: Payload) -> Payload:
        name, sealed = self._ring.encrypt(payload.SerializeToString())
        return Payload(metadata={"encoding": _ENCODING, "key": name.encode()}, data=sealed)


def data_converter(settings: Settings) -> DataConverter:
    """Pydantic payloads, encrypted unless the settings say otherwise."""
    if not settings.encryption.enabled:
        return pydantic_data_converter
    return replace(
        pydantic_data_converter,
        payload_codec=EncryptionCodec(settings.key_ring_file),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


async def connect(settings: Settings, *, runtime: Runtime | None = None) -> Client:
    """A client of the settings' namespace.

    Raises:
        ConfigurationError: no address is set, and no stack runs; or there is no key ring.
        TemporalUnavailable: nobody answers there.
    """
    temporal = settings.temporal
    if temporal.address is None:
        raise ConfigurationError(
            "No Temporal service is known here.",
            advice="Start the stack with `wardflow up`, or set WARDFLOW_TEMPORAL__ADDRESS.",
        )
    api_key = temporal.api_key.get_secret_value() if temporal.api_key else None
    try:
        return await Client.connect(
            temporal.address,
            namespace=temporal.namespace,
            data_converter=data_converter(settings),
            tls=temporal.tls or api_key is not None,
            api_key=api_key,
            runtime=runtime,
        )
    except (RPCError, RuntimeError) as error:
        raise TemporalUnavailable(f"The Temporal service at {temporal.address} does not answer.") from error


def history_link(settings: Settings, workflow_id: str, run_id: str) -> str | None:
    """Where the Web UI shows the run, if it is known where the Web UI is."""
    ui = settings.temporal.ui_url
    return f"{ui}/namespaces/{settings.temporal.namespace}/workflows/{workflow_id}/{run_id}/history" if ui else None
