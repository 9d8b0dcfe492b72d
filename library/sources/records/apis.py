"""The three APIs that clinics post to, and how the records of each are read."""

from collections.abc import Mapping
from enum import StrEnum

from library.sources.records import reading


class Api(StrEnum):
    """An API that users may be granted."""

    PATIENT = "patient"
    ADMISSIONS = "admissions"
    LAB_RESULTS = "lab_results"


KINDS: Mapping[Api, reading.RecordKind] = {
    Api.PATIENT: reading.PATIENT,
    Api.ADMISSIONS: reading.ADMISSION,
    Api.LAB_RESULTS: reading.LAB_RESULT,
}
