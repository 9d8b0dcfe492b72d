"""The list of sources; worker, schema and codec are made from it."""

from service.sources import beds, fhir, records

SOURCES = (beds.SOURCE, fhir.SOURCE, records.SOURCE)
"""Every source: the one line to which a new one is added."""

WITHOUT_PATIENTS = tuple(source.name for source in SOURCES if not source.concerns_patients)
"""The sources whose runs need no `read:patients`."""

WORKFLOWS_WITHOUT_PATIENTS = tuple(beginning for source in SOURCES for beginning in source.workflows_without_patients)
"""How the ids of workflows begin whose payloads need no `read:patients`."""
