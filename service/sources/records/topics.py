"""The topics of records, and the APIs that post to them."""

from collections.abc import Callable
from uuid import UUID

from config.settings import Settings
from library.sources.records.apis import KINDS, Api
from library.sources.records.feeds import feeds as feeds_of_topics
from library.warehouse.batches import Feed
from service.posts import PostingApi


def topics(settings: Settings) -> dict[Api, str]:
    """The topic of each API, by its name in the cluster."""
    kafka = settings.kafka
    return {
        Api.PATIENT: kafka.patient_topic,
        Api.ADMISSIONS: kafka.admissions_topic,
        Api.LAB_RESULTS: kafka.lab_results_topic,
    }


def feeds(settings: Settings) -> tuple[Feed, ...]:
    """The feeds of the topics."""
    return feeds_of_topics(topics(settings))


def _patient_of(api: Api) -> Callable[[bytes], bytes]:
    """The key of a record: its patient. So the records of one patient stay in order."""
    read = KINDS[api].read

    def key(value: bytes) -> bytes:
        patient_id = read(value)[0]
        assert isinstance(patient_id, UUID)  # noqa: S101 - for the type checker
        return str(patient_id).encode()

    return key


def _topic_of(api: Api) -> Callable[[Settings], str]:
    return lambda settings: topics(settings)[api]


POSTING_APIS = tuple(PostingApi(api, "records", KINDS[api].wire, _patient_of(api), _topic_of(api)) for api in Api)
