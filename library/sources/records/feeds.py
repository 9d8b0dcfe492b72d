"""The topics of records: how each is decoded, and which dataset its rows go to."""

from collections.abc import Callable

from library.reading.records import RecordRefused
from library.sources.records import datasets as records
from library.sources.records import reading
from library.warehouse.batches import Decoded, Feed, Refused

SOURCE = "records"


def _record_of(kind: reading.RecordKind) -> Callable[[bytes], Decoded]:
    """Decode one record. It has no time of its own: the later one on the topic counts."""
    read = kind.read

    def decode(value: bytes) -> Decoded:
        try:
            return None, (read(value),)
        except RecordRefused as refused:
            raise Refused(refused.reasons) from None

    return decode


def feeds(*, patient: str, admissions: str, lab_results: str) -> tuple[Feed, ...]:
    """What each topic feeds, by the names that the topics have in the cluster."""
    return (
        Feed(patient, SOURCE, datasets=(records.PATIENT,), decode=_record_of(reading.PATIENT)),
        Feed(admissions, SOURCE, datasets=(records.ADMISSION,), decode=_record_of(reading.ADMISSION)),
        Feed(lab_results, SOURCE, datasets=(records.LAB_RESULT,), decode=_record_of(reading.LAB_RESULT)),
    )
