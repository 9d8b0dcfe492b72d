"""The connection to Temporal, with one data converter for all processes, replays and tools."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self
from urllib.parse import urlsplit

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
)
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from config.settings import Settings
from library.access.encryption import KeyRingFile
from library.contracts.errors import ConfigurationError, WardflowError
from library.contracts.runs import Run
from service.addresses import temporal_server
from service.sources import WORKFLOWS_WITHOUT_PATIENTS
from service.stack.temporal import WEB_UI
from service.waiting import resolved, waiting_for

_CONNECT_MAY_TAKE = 30.0
"""Seconds until Temporal must answer; its own client has the same limit."""
_ENCODING = b"binary/aes-256-gcm"
_LABEL, _NO_PATIENTS = "about", b"no-patients"
_CONCERN_NO_PATIENTS = (*WORKFLOWS_WITHOUT_PATIENTS, "upkeep")
"""The beginnings of workflow ids whose payloads concern no patients. Other payloads need `read:patients`."""


class TemporalUnavailable(WardflowError):
    """The Temporal service does not answer."""

    retryable = True
    default_advice = "Start the stack with `wardflow up --detach`, or see `wardflow doctor`."


class TemporalRefused(WardflowError):
    """The Temporal service answers, but refuses the request."""

    default_advice = "Run `wardflow migrate`, since the namespace may not be set up. See `wardflow doctor`."


AWAY = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.ABORTED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
)
"""Statuses that mean that the service is away, not that it refused the request."""


def request_error(error: RPCError) -> WardflowError:
    """Translate an error of a request to Temporal. Its text is dropped, since it may quote the request."""
    if error.status in AWAY:
        return TemporalUnavailable(f"The Temporal service does not answer ({error.status.name}).")
    return TemporalRefused(f"The Temporal service refused the request ({error.status.name}).")


class EncryptionCodec(PayloadCodec, WithSerializationContext):
    """Encrypts every payload: inputs, results, heartbeats, memos and (with the failure converter) error texts.

    A payload of a workflow that concerns no patients gets a label, which is authenticated. `POST /codec/decode` gets
    only payloads, so it needs the label to decide who may see one.
    """

    def __init__(self, keys: KeyRingFile, queue_prefix: str, *, no_patients: bool = False) -> None:
        self._keys = keys
        self._queue_prefix = queue_prefix
        self._no_patients = no_patients

    def with_context(self, context: SerializationContext) -> Self:
        """The codec for the payloads of one workflow."""
        workflow_id = getattr(context, "workflow_id", None) or ""
        no_patients = workflow_id.removeprefix(self._queue_prefix).startswith(_CONCERN_NO_PATIENTS)
        return type(self)(self._keys, self._queue_prefix, no_patients=no_patients)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt encrypted payloads. Others are not changed, so histories without encryption can still be read."""
        return [self._decrypt(payload) if encrypted(payload) else payload for payload in payloads]

    def _decrypt(self, payload: Payload) -> Payload:
        label = _NO_PATIENTS if not concerns_patients(payload) else b""
        return Payload.FromString(
            self._keys.decrypt(payload.metadata.get("key", b"").decode(), payload.data, label=label)
        )

    def _encrypt(self, payload: Payload) -> Payload:
        label = _NO_PATIENTS if self._no_patients else b""
        name, sealed = self._keys.encrypt(payload.SerializeToString(), label=label)
        metadata = {"encoding": _ENCODING, "key": name.encode()} | ({_LABEL: label} if label else {})
        return Payload(metadata=metadata, data=sealed)


def encrypted(payload: Payload) -> bool:
    """Whether this codec encrypted the payload."""
    return payload.metadata.get("encoding") == _ENCODING


def concerns_patients(payload: Payload) -> bool:
    """Whether an encrypted payload may concern patients: every payload without the label may."""
    return payload.metadata.get(_LABEL) != _NO_PATIENTS


def encryption_codec(settings: Settings) -> EncryptionCodec:
    """The codec of all processes that share the key ring."""
    return EncryptionCodec(KeyRingFile(settings.key_ring_file), settings.worker.queue_prefix)


def data_converter(settings: Settings) -> DataConverter:
    """The converter for pydantic payloads, with encryption unless the settings turn it off."""
    if not settings.encryption.enabled:
        return pydantic_data_converter
    return replace(
        pydantic_data_converter,
        payload_codec=encryption_codec(settings),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


async def connect(settings: Settings, *, runtime: Runtime | None = None) -> Client:
    """Connect to Temporal, with the namespace of the settings.

    Raises:
        ConfigurationError: no address is set and no stack runs, or there is no key ring.
        TemporalUnavailable: the service does not answer.
        HostNotResolved: its name does not resolve.
    """
    temporal = settings.temporal
    if temporal.address is None:
        raise ConfigurationError(
            "No Temporal service is set, and no stack runs.",
            advice="Start the stack with `wardflow up --detach`, or set WARDFLOW_TEMPORAL__ADDRESS.",
        )
    api_key = temporal.api_key.get_secret_value() if temporal.api_key else None
    server = temporal_server(settings)
    await resolved(server)
    try:
        with waiting_for(server, "it does not answer", seconds=_CONNECT_MAY_TAKE):
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


def history_link(settings: Settings, run: Run) -> str | None:
    """The URL of the run's newest execution in the Web UI; `None`: the Web UI's URL is not set.

    If the API serves the Web UI, the URL is the API's. In answers of the API it is a path.
    """
    ui = settings.temporal.ui_url
    if ui and urlsplit(ui).path == WEB_UI:
        ui = settings.api.url + WEB_UI if settings.api.url is not None else ui
    if not ui:
        return None
    execution = run.executions[-1] if run.executions else run.id
    return f"{ui}/namespaces/{settings.temporal.namespace}/workflows/{run.workflow_id}/{execution}/history"
