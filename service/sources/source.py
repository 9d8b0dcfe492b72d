"""The declaration of a source for all processes: plain data that is quick to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from library.contracts.errors import WardflowError
from library.contracts.scopes import Scope
from library.datasets.declaration import Dataset
from library.datasets.views import View


@dataclass(frozen=True)
class Source:
    """One source of data.

    Its other parts are in modules with fixed names (`MODULES`) in the same package. A process imports only those that
    it needs. Each may be missing.

    Attributes:
        name: its name in runs, loads, rejections and settings, and the name of its packages.
        schema: the schema of its tables in the warehouse.
        datasets: the datasets that its loads write.
        views: models of its views. Migrations write their descriptions as comments.
        contracts: modules with the inputs and results of its workflows. Temporal's sandbox passes them through, so
            they import pydantic and the standard library only.
        concerns_patients: whether its runs, and the payloads of their workflows, need the scope `read:patients`.
        scope: the scope that a caller must have to see its rows.
        keeps_objects: whether it lands objects that a corrected reader can read again (`wardflow reload`).
        workflows_without_patients: beginnings of workflow ids; the payloads of these workflows concern no patients.
        scopes: the scopes that only its routes need.
        posting_apis: the APIs that users may be granted; `POST /api_{name}` is the route of each.
        commands: for each group of the command line, the module in its package whose `app` has its commands.
        command_groups: the groups that it adds to the command line, with their help.
        fetching: its activities that fetch from an external server. Commands say so when one takes long.
        stack_parts: names of the parts that it adds to the embedded stack.
        statuses: the API's status for each of its errors.
    """

    name: str
    schema: str
    datasets: tuple[Dataset, ...]
    views: tuple[type[View], ...] = ()
    contracts: tuple[str, ...] = ()
    concerns_patients: bool = True
    scope: str = Scope.READ_PATIENTS
    keeps_objects: bool = False
    workflows_without_patients: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    posting_apis: tuple[str, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    command_groups: Mapping[str, str] = field(default_factory=dict)
    fetching: tuple[str, ...] = ()
    stack_parts: tuple[str, ...] = ()
    statuses: Mapping[type[WardflowError], HTTPStatus] = field(default_factory=dict)


MODULES: Mapping[str, str] = {
    "worker": "PART: its workflows, its activities by queue, its schedules",
    "topics": "feeds(settings), and POSTING_APIS: its topics, and who posts to them",
    "routes": "PART: its REST routes",
    "demo": "demonstrate(settings), and look_at(settings, typed): its part of `wardflow demo`",
    "stack": "parts(settings): makes its parts of the embedded stack, by name",
}
"""The modules in a source's room that processes look for, and what each has."""
