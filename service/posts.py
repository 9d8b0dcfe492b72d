"""Sends posted records to Kafka: checks and keys them, and waits until all in-sync replicas have them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
from prometheus_client import Counter

from config.sections import LARGEST_POST, LONGEST_POST
from config.settings import Settings
from library.access.rates import Rates
from library.access.tokens import Principal
from library.contracts.errors import WardflowError
from library.contracts.scopes import post_to
from library.contracts.streams import KafkaRefused, KafkaUnavailable, TopicMissing
from library.reading.records import FieldError, RecordRefused
from library.streams.producer import Outgoing, Producer
from service.sources import modules

RECORDS = Counter(
    "wardflow_posted_records_total", "Records posted to the API, by what became of them.", ("api", "became")
)

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_BLANKS = b" \t\r\n"


@dataclass(frozen=True)
class PostingApi:
    """An API that takes records for a topic from users with its grant.

    Attributes:
        name: the API's name; its route is `POST /api_{name}`.
        tag: the route's tag in the OpenAPI document.
        wire: the msgspec struct with the fields of a record. The OpenAPI document is made from it.
        key: reads a record and returns its key. Records with the same key stay in order. Raises `RecordRefused`.
        topic: returns the topic's name from the settings.
    """

    name: str
    tag: str
    wire: type[msgspec.Struct]
    key: Callable[[bytes], bytes]
    topic: Callable[[Settings], str]

    @property
    def scope(self) -> str:
        """The scope that its route needs."""
        return post_to(self.name)

    @property
    def path(self) -> str:
        """The path of the API's route."""
        return f"/api_{self.name}"


def posting_apis() -> tuple[PostingApi, ...]:
    """Every posting API of the sources."""
    return tuple(api for module in modules("topics") for api in module.POSTING_APIS)


class NotRecords(WardflowError):
    """The body is neither a record nor a list of records."""


class RecordsRefused(WardflowError):
    """Some records of a request are not valid. No record of the request was sent.

    Attributes:
        errors: the errors of each refused record, by its place in the list, counted from 1.
    """

    default_advice = "Correct these records, and post the whole request again."

    def __init__(self, errors: Mapping[int, Sequence[FieldError]]) -> None:
        super().__init__(f"{len(errors)} of the records cannot be accepted. No record of the request was sent.")
        self.errors = errors


class TooFast(WardflowError):
    """The user posts more records than allowed. No record of the request was sent."""

    default_advice = "Send the request again after the seconds in `Retry-After`."


class TooManyUnderWay(WardflowError):
    """Too many records of this process wait for Kafka. No record of the request was sent."""

    retryable = True
    default_advice = "Send the request again after the seconds in `Retry-After`."


class OutcomeUnknown(WardflowError):
    """Kafka did not acknowledge all records. Some may be stored."""

    retryable = True
    default_advice = "Send the request again until it is accepted. A record that is sent twice changes nothing."


@dataclass(frozen=True)
class Accepted:
    """A record that all in-sync replicas have."""

    topic: str
    partition: int
    offset: int


@dataclass
class Posts:
    """Sends the records of requests to Kafka.

    Attributes:
        limit: the most records that wait for Kafka at once.
    """

    producer: Producer
    settings: Settings
    rates: Rates
    limit: int
    _waiting: int = field(default=0, init=False)

    async def post(self, api: PostingApi, caller: Principal, body: bytes) -> list[Accepted]:
        """Send all records of a request to Kafka, or raise an error.

        Raises:
            NotRecords: the body has no records.
            RecordsRefused: some records are not valid.
            TooFast: the caller posts faster than allowed.
            TooManyUnderWay: Kafka is too slow, or away.
            OutcomeUnknown: Kafka did not acknowledge all records.
        """
        values = records_of(body)
        if seconds := self.rates.take(caller.id, len(values)):
            RECORDS.labels(api.name, "too_fast").inc(len(values))
            error = TooFast("You post more records than are allowed in this time.")
            error.retry_after = math.ceil(seconds)
            raise error
        try:
            outgoing = checked(api, values)
        except RecordsRefused as refused:
            RECORDS.labels(api.name, "refused").inc(len(refused.errors))
            raise
        if self._waiting + len(outgoing) > self.limit:
            raise TooManyUnderWay("Too many records are waiting for Kafka.")
        self._waiting += len(outgoing)
        try:
            return await self._send(api, outgoing)
        finally:
            self._waiting -= len(outgoing)

    async def _send(self, api: PostingApi, outgoing: Sequence[Outgoing]) -> list[Accepted]:
        topic = api.topic(self.settings)
        try:
            delivered = await self.producer.send(topic, outgoing)
        except (KafkaUnavailable, KafkaRefused, TopicMissing) as error:
            RECORDS.labels(api.name, "unknown").inc(len(outgoing))
            raise OutcomeUnknown(
                f"Kafka did not acknowledge all records ({type(error).__name__}). Some may be stored."
            ) from error
        _accepted(api.name).inc(len(outgoing))
        return [Accepted(topic, each.partition, each.offset) for each in delivered]


def records_of(body: bytes) -> list[bytes]:
    """The bytes of each record of a body.

    Raises:
        NotRecords: the body has no records, too many, or is not JSON.
    """
    body = body.strip(_BLANKS)
    if not body.startswith(b"["):
        if not body:
            raise NotRecords("The body is empty.", advice="Send a record, or a list of them, as JSON.")
        return [body]
    try:
        values = [bytes(each) for each in _LIST.decode(body)]
    except (msgspec.MsgspecError, RecursionError):
        raise NotRecords("The body is not a JSON list.", advice="Send a record, or a list of them, as JSON.") from None
    if not 1 <= len(values) <= LONGEST_POST:
        raise NotRecords(f"The list has {len(values):,} records; it may have 1 to {LONGEST_POST:,}.")
    return values


def checked(api: PostingApi, values: Sequence[bytes]) -> list[Outgoing]:
    """Check records, and add their keys.

    Raises:
        RecordsRefused: some cannot be read; it has all errors of each.
    """
    outgoing, errors = [], {}
    for place, value in enumerate(values, start=1):
        if len(value) > LARGEST_POST:
            errors[place] = [FieldError("", f"larger than {LARGEST_POST:,} bytes")]
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
