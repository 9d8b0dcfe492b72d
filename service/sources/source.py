"""What a source is, as all processes need to know it: plain data, quick to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from library.contracts.errors import WardflowError
from library.datasets.declaration import Dataset


@dataclass(frozen=True)
class Parameters:
    """What the audit keeps of the parameters of a route that reads patient data.

    Attributes:
        kept: with their values: they name no patient.
        named: that they were given, and not what they said.
        hashed: by a hash of their value, so that all who have read one patient can be found.
    """

    kept: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ("patient_id",)


@dataclass(frozen=True)
class Source:
    """One source of data.

    What a process needs beyond this lies beside it, in modules with fixed names (`MODULES`); each is imported by the
    processes that need it, and may be missing.

    Attributes:
        name: in runs, loads, rejections and settings; also of its rooms in the code.
        schema: of its tables in the warehouse.
        datasets: that its loads feed.
        contracts: modules with the inputs and results of its workflows: Temporal's sandbox passes them through, so
            they import pydantic and the standard library only.
        concerns_patients: whether its runs, and the payloads of their workflows, need the scope `read:patients`.
        workflows_without_patients: how the ids of those of its workflows begin whose payloads concern no patients.
        scopes: that its routes need, beside those that all sources share.
        posting_apis: the APIs that users may be granted; `POST /api_{name}` is the route of each.
        commands: by group of the command line, the module in its room whose `app` has its commands.
        command_groups: groups that it adds to the command line, with their help.
        fetching: its activities that fetch from a server elsewhere: commands say so when one takes long.
        stack_parts: names of the parts of the embedded stack that it brings.
        statuses: of its errors, as answers of the API.
        parameters: of its routes that read patient data, for the audit.
    """

    name: str
    schema: str
    datasets: tuple[Dataset, ...]
    contracts: tuple[str, ...] = ()
    concerns_patients: bool = True
    workflows_without_patients: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    posting_apis: tuple[str, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    command_groups: Mapping[str, str] = field(default_factory=dict)
    fetching: tuple[str, ...] = ()
    stack_parts: tuple[str, ...] = ()
    statuses: Mapping[type[WardflowError], HTTPStatus] = field(default_factory=dict)
    parameters: Parameters = Parameters()


MODULES: Mapping[str, str] = {
    "worker": "PART: its workflows, its activities by queue, its schedules",
    "topics": "feeds(settings), and POSTING_APIS: its topics, and who posts to them",
    "routes": "PART: its REST routes",
    "demo": "demonstrate(settings), and look_at(settings, typed): its part of `wardflow demo`",
    "stack": "parts(settings): makes its parts of the embedded stack, by name",
}
"""The modules in a source's room that processes look for, and what each has."""
