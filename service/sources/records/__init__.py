"""Patients, admissions and laboratory results, posted by API."""

from library.sources.records import datasets
from service.sources.source import Source

SOURCE = Source(name="records", schema=datasets.SCHEMA, datasets=datasets.DATASETS)
