"""The three APIs that clinics post to, how the records of each are read, and where they are stored."""

from collections.abc import Mapping
from enum import StrEnum

from library.datasets.declaration import Dataset
from library.sources.records import datasets, reading


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

DATASETS: Mapping[Api, Dataset] = {
    Api.PATIENT: datasets.PATIENT,
    Api.ADMISSIONS: datasets.ADMISSION,
    Api.LAB_RESULTS: datasets.LAB_RESULT,
}
