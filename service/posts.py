"""Posted records on their way to Kafka: read, keyed, accepted only once all replicas in sync have them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
from prometheus_client import Counter

from config.settings import Settings
from library.access.rates import Rates
from library.access.scopes import post_to
from library.access.tokens import Principal
from library.contracts.errors import WardflowError
from library.contracts.streams import KafkaRefused, KafkaUnavailable, TopicMissing
from library.reading.records import FieldError, RecordRefused
from library.streams.producer import Outgoing, Producer
from service.sources import modules

LONGEST = 1_000
"""Records of a list at most."""

LARGEST = 64 * 1024
"""Bytes of a record at most: far beyond what its fields may hold, and far below what a topic takes."""

RECORDS = Counter(
    "wardflow_posted_records_total", "Records posted to the API, by what became of them.", ("api", "became")
)

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_BLANKS = b" \t\r\n"


@dataclass(frozen=True)
class PostingApi:
    """An API that takes records for a topic, from users who are granted that.

    Attributes:
        name: of the API; its route is `POST /api_{name}`.
        tag: of the route, in the OpenAPI document.
        wire: the fields of a record, a msgspec struct: the OpenAPI document is made from it.
        key: reads a record and returns its key: records with the same key stay in order; raises `RecordRefused`.
        topic: its name in the cluster, from the settings.
    """

    name: str
    tag: str
    wire: type[msgspec.Struct]
    key: Callable[[bytes], bytes]
    topic: Callable[[Settings], str]

    @property
    def scope(self) -> str:
        """What its route needs."""
        return post_to(self.name)

    @property
    def path(self) -> str:
        """Of its route."""
        return f"/api_{self.name}"


def posting_apis() -> tuple[PostingApi, ...]:
    """Every posting API of the sources."""
    return tuple(api for module in modules("topics") for api in module.POSTING_APIS)


class NotRecords(WardflowError):
    """A body that is neither a record nor a list of records."""


class RecordsRefused(WardflowError):
    """Records of a request that are none; nothing of it was sent.

    Attributes:
        errors: by the record's place in the list, counted from 1.
    """

    default_advice = "Correct these records, and post the whole request again."

    def __init__(self, errors: Mapping[int, Sequence[FieldError]]) -> None:
        super().__init__(f"{len(errors)} of the records cannot be accepted; nothing of the request was sent.")
        self.errors = errors


class TooFast(WardflowError):
    """More records than the user may post in this time; nothing of the request was sent."""

    default_advice = "Send it again after as many seconds as `Retry-After` says."


class TooManyUnderWay(WardflowError):
    """More records wait for Kafka than this process keeps; nothing of the request was sent."""

    retryable = True
    default_advice = "Send it again after as many seconds as `Retry-After` says."


class OutcomeUnknown(WardflowError):
    """Kafka did not acknowledge all records: some may be stored all the same."""

    retryable = True
    default_advice = "Send the request again until it is accepted: a record that comes twice changes nothing."


@dataclass(frozen=True)
class Accepted:
    """A record that all replicas in sync have."""

    topic: str
    partition: int
    offset: int


@dataclass
class Posts:
    """Takes records from requests to Kafka.

    Attributes:
        most: records that may wait for Kafka at once.
    """

    producer: Producer
    settings: Settings
    rates: Rates
    most: int
    _under_way: int = field(default=0, init=False)

    async def post(self, api: PostingApi, caller: Principal, body: bytes) -> list[Accepted]:
        """Bring the records of a request to Kafka: all of them, or an error.

        Raises:
            NotRecords: the body holds none.
            RecordsRefused: some are none.
            TooFast: over the caller's rate.
            TooManyUnderWay: Kafka does not keep up, or is away.
            OutcomeUnknown: Kafka did not acknowledge all of them.
        """
        values = records_of(body)
        if seconds := self.rates.take(caller.id, len(values)):
            RECORDS.labels(api.name, "too_fast").inc(len(values))
            error = TooFast("You post more records than you may in this time.")
            error.retry_after = math.ceil(seconds)
            raise error
        try:
            outgoing = checked(api, values)
        except RecordsRefused as refused:
            RECORDS.labels(api.name, "refused").inc(len(refused.errors))
            raise
        if self._under_way + len(outgoing) > self.most:
            raise TooManyUnderWay("Too many records are waiting for Kafka.")
        self._under_way += len(outgoing)
        try:
            return await self._send(api, outgoing)
        finally:
            self._under_way -= len(outgoing)

    async def _send(self, api: PostingApi, outgoing: Sequence[Outgoing]) -> list[Accepted]:
        topic = api.topic(self.settings)
        try:
            delivered = await self.producer.send(topic, outgoing)
        except (KafkaUnavailable, KafkaRefused, TopicMissing) as error:
            RECORDS.labels(api.name, "unknown").inc(len(outgoing))
            raise OutcomeUnknown(
                f"Kafka did not acknowledge all records ({type(error).__name__}); some may be stored all the same."
            ) from error
        _accepted(api.name).inc(len(outgoing))
        return [Accepted(topic, each.partition, each.offset) for each in delivered]


def records_of(body: bytes) -> list[bytes]:
    """The bytes of each record of a body.

    Raises:
        NotRecords: none, too many, or no JSON.
    """
    body = body.strip(_BLANKS)
    if not body.startswith(b"["):
        if not body:
            raise NotRecords("The body is empty.", advice="Send a record, or a list of them, as JSON.")
        return [body]
    try:
        values = [bytes(each) for each in _LIST.decode(body)]
    except (msgspec.MsgspecError, RecursionError):
        raise NotRecords("The body is no JSON list.", advice="Send a record, or a list of them, as JSON.") from None
    if not 1 <= len(values) <= LONGEST:
        raise NotRecords(f"The list has {len(values):,} records; it may have 1 to {LONGEST:,}.")
    return values


def checked(api: PostingApi, values: Sequence[bytes]) -> list[Outgoing]:
    """The records with their keys.

    Raises:
        RecordsRefused: some cannot be read, with all that speaks against each.
    """
    outgoing, errors = [], {}
    for place, value in enumerate(values, start=1):
        if len(value) > LARGEST:
            errors[place] = [FieldError("", f"larger than {LARGEST:,} bytes")]
            continue
        try:
            outgoing.append(Outgoing(value, key=api.key(value)))
        except RecordRefused as refused:
            errors[place] = refused.errors
    if errors:
        raise RecordsRefused(errors)
    return outgoing


@lru_cache
def _accepted(api: str) -> Counter:
    return RECORDS.labels(api, "accepted")
