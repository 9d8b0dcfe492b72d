"""The list of sources: worker, API, command line, schema, codec, audit, topics and stack are made from it."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from library.contracts.origins import DatasetUnknown
from library.contracts.scopes import Scope
from library.datasets.declaration import Dataset
from service.sources import beds, fhir, records
from service.sources.source import MODULES, Source

SOURCES = (beds.SOURCE, fhir.SOURCE, records.SOURCE)
"""Every source: the one line to which a new one is added."""

WITHOUT_PATIENTS = tuple(source.name for source in SOURCES if not source.concerns_patients)
"""The sources whose runs need no `read:patients`."""

WORKFLOWS_WITHOUT_PATIENTS = tuple(beginning for source in SOURCES for beginning in source.workflows_without_patients)
"""How the ids of workflows begin whose payloads need no `read:patients`."""

SCOPES = (*(scope for source in SOURCES for scope in source.scopes), *(str(scope) for scope in Scope))
"""What tokens can be given."""

DATASETS: Mapping[str, tuple[Source, Dataset]] = {
    dataset.name: (source, dataset) for source in SOURCES for dataset in source.datasets
}
"""Every dataset by its name, with its source."""

POSTING_APIS = tuple(api for source in SOURCES for api in source.posting_apis)
"""What users can be granted."""

STACK_PARTS = tuple(part for source in SOURCES for part in source.stack_parts)
"""Parts of the embedded stack that sources bring."""


def dataset_called(name: str) -> tuple[Source, Dataset]:
    """A dataset with its source.

    Raises:
        DatasetUnknown: there is no such dataset. The advice names the datasets.
    """
    if name not in DATASETS:
        raise DatasetUnknown("dataset: there is none with this name.", advice=f"There are {', '.join(DATASETS)}.")
    return DATASETS[name]


def room_of(source: Source) -> str:
    """The package of a source's own modules."""
    return f"{__name__}.{source.name}"


def modules(name: str) -> Iterator[ModuleType]:
    """The modules of this name that sources have, in the order of the list.

    Args:
        name: one of `MODULES`.
    """
    if name not in MODULES:
        raise KeyError(f"No process looks for a module {name} of a source.")
    for source in SOURCES:
        path = f"{room_of(source)}.{name}"
        if find_spec(path):
            yield import_module(path)
