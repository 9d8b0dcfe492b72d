"""Patients and their observations, from FHIR R4 servers and files."""

from library.sources.fhir import datasets
from service.sources.source import Source

SOURCE = Source(name="fhir", schema=datasets.SCHEMA, datasets=datasets.DATASETS)
