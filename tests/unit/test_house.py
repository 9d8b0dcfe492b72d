"""A source is declared once: shared modules name no source, and the list of sources is quick to import."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from importlib import import_module

import pytest
import typer
from fastapi import params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from temporalio import workflow

from config.servers import CHECKOUT
from config.settings import Settings
from library.contracts.errors import WardflowError
from library.contracts.scopes import Scope
from library.warehouse.batches import Feed
from library.warehouse.queries.filters import Parameter
from library.warehouse.queries.question import Question
from service.api.parts import ApiPart
from service.api.problems import problem_of
from service.cli.groups import GROUPS
from service.posts import PostingApi
from service.sources import SCOPES, SOURCES, modules, room_of
from service.sources.source import MODULES, Source
from service.worker.parts import WorkerPart

PACKAGES = ("config", "library", "activities", "workflows", "service")
NAMES = "|".join(source.name for source in SOURCES)
ROOM = re.compile(rf"(config|activities|workflows|(library|service)/sources)/({NAMES})(\.py|/)")
MAY_NAME_SOURCES = (
    "service/sources/__init__.py",  # the list
    "config/settings.py",  # one field for each source
    "library/warehouse/migrations/",  # revisions make the tables
    "service/client/",  # these two use the public face only
    "service/dashboard/",
)
PAGING = {"limit", "after"}


def every_module() -> list[str]:
    files = [file for package in PACKAGES for file in (CHECKOUT / package).rglob("*.py")]
    return sorted(file.relative_to(CHECKOUT).as_posix() for file in files)


def shared_modules() -> list[str]:
    return [each for each in every_module() if not ROOM.match(each) and not each.startswith(MAY_NAME_SOURCES)]


def source_of(module: str) -> str:
    """Whose room a module lies in; empty for a shared one."""
    found = ROOM.match(module.replace(".", "/") + "/")
    return found[3] if found else ""


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text of a module, without its docstrings."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def routes_of(source: Source) -> list[APIRoute]:
    parts = [module.PART for module in modules("routes") if module.__name__.startswith(room_of(source) + ".")]
    return [
        route for part in parts for router in part.routers for route in router.routes if isinstance(route, APIRoute)
    ]


def workflow_names() -> set[str]:
    parts = [module.PART for module in modules("worker")]
    definitions = [workflow._Definition.must_from_class(each) for part in parts for each in part.workflows]
    return {each.name for each in definitions if each.name}


@pytest.mark.parametrize("module", shared_modules())
def test_a_shared_module_imports_no_source(module: str) -> None:
    tree = ast.parse((CHECKOUT / module).read_text())
    rooms = [each for each in imported(tree) if source_of(each)]
    assert not rooms, f"{module} imports {rooms}: let the source declare what it needs"


@pytest.mark.parametrize("module", [each for each in every_module() if ROOM.match(each)])
def test_a_source_imports_no_other_source(module: str) -> None:
    own = ROOM.match(module)
    assert own
    tree = ast.parse((CHECKOUT / module).read_text())
    others = [each for each in imported(tree) if source_of(each) not in ("", own[3])]
    assert not others, f"{module} imports {others}"


def test_no_shared_module_has_the_name_of_a_sources_table_route_or_workflow() -> None:
    schemas = "|".join(source.schema for source in SOURCES)
    tables = re.compile(rf"\b({schemas})\.[a-z_]+\b")
    paths = {route.path for source in SOURCES for route in routes_of(source)}
    paths |= {api.path for module in modules("topics") for api in module.POSTING_APIS}
    assert {"/nhs-data/occupancy", "/zipcodes", "/api_patient"} <= paths
    names = workflow_names()
    assert {"ingest-workbook", "import-zipcode", "import-fhir"} <= names
    found = [
        f"{module}: {text}"
        for module in shared_modules()
        for text in texts(ast.parse((CHECKOUT / module).read_text()))
        if tables.search(text) or text in names or any(path in text for path in paths)
    ]
    assert found == []


def test_no_shared_module_reads_a_setting_of_a_source() -> None:
    files = {f"config.{source.name}" for source in SOURCES}
    sections = {
        name for name, field in Settings.model_fields.items() if getattr(field.annotation, "__module__", "") in files
    }
    assert {"workbook", "fhir"} <= sections
    reads = re.compile(rf"\bsettings\.({'|'.join(sections)})\b")
    found = [each for each in shared_modules() if reads.search((CHECKOUT / each).read_text())]
    assert found == []


def test_import_linter_sees_every_folder_of_code() -> None:
    folders = {file.parent for package in PACKAGES for file in (CHECKOUT / package).rglob("*.py")}
    missing = [each for each in folders if "migrations" not in each.parts and not (each / "__init__.py").exists()]
    assert missing == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_activities_that_fetch_are_activities_of_the_source(source: Source) -> None:
    room = CHECKOUT / "activities"
    files = [*room.glob(f"{source.name}.py"), *(room / source.name).glob("*.py")]
    named = set(re.findall(r'activity\.defn\(name="(\w+)"\)', "".join(file.read_text() for file in files)))
    assert set(source.fetching) <= named


def test_the_list_of_sources_is_quick_to_import() -> None:
    slow = ("temporalio", "fastapi", "asyncpg", "deltalake")
    program = f"import sys, service.sources; print(*sorted(set({slow}) & set(sys.modules)))"
    # Other modules of the service import the list, so the declarations must import none of them.
    program += "; print(*[each for each in sys.modules if each.startswith('service.') and '.sources' not in each])"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert done.stdout.split() == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_what_processes_look_for_in_a_room_is_there_with_its_type(source: Source) -> None:
    room = [module for name in MODULES for module in modules(name) if module.__name__.startswith(room_of(source) + ".")]
    found = {module.__name__.rpartition(".")[2]: module for module in room}
    settings = Settings()
    if "worker" in found:
        assert isinstance(found["worker"].PART, WorkerPart)
    if "routes" in found:
        assert isinstance(found["routes"].PART, ApiPart)
    if "demo" in found:
        assert callable(found["demo"].demonstrate)
        assert callable(found["demo"].look_at)
    apis: tuple[PostingApi, ...] = found["topics"].POSTING_APIS if "topics" in found else ()
    assert tuple(api.name for api in apis) == source.posting_apis
    if "topics" in found:
        feeds: tuple[Feed, ...] = found["topics"].feeds(settings)
        assert {feed.source for feed in feeds} == {source.name}
        assert {api.topic(settings) for api in apis} <= {feed.topic for feed in feeds}
    parts = found["stack"].parts(settings) if "stack" in found else {}
    assert tuple(parts) == source.stack_parts
    for group, module in source.commands.items():
        assert group in GROUPS
        assert isinstance(import_module(f"{room_of(source)}.{module}").app, typer.Typer)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_contracts_pass_into_temporals_sandbox_with_nothing_else(source: Source) -> None:
    for name in source.contracts:
        import_module(name)
        for depth in range(1, name.count(".") + 1):
            package = CHECKOUT.joinpath(*name.split(".")[:depth], "__init__.py")
            assert len(ast.parse(package.read_text()).body) <= 1, f"{package} holds more than its docstring"
    room = CHECKOUT / "library/sources" / source.name
    there = {path.stem for pattern in ("*contracts.py", "errors.py") for path in room.glob(pattern)}
    assert {name.rpartition(".")[2] for name in source.contracts} == there


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_each_error_of_a_sources_contracts_has_a_status_for_the_api(source: Source) -> None:
    for name in source.contracts:
        for error in vars(import_module(name)).values():
            if isinstance(error, type) and issubclass(error, WardflowError) and error.__module__ == name:
                assert problem_of(error("It is so.")).status_code != HTTPStatus.INTERNAL_SERVER_ERROR, error


def parameters_of(source: Source) -> set[str]:
    """The parameters that the source's questions declare, each with what the audit keeps of it."""
    declared: set[str] = set()
    for each in vars(import_module(f"library.sources.{source.name}.questions")).values():
        if isinstance(each, Question):
            declared |= each.by_name.keys()
        elif isinstance(each, Parameter):
            declared.add(each.name)
    return declared


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_audit_knows_each_parameter_of_a_route_that_reads_patient_data(source: Source) -> None:
    known = PAGING | parameters_of(source)
    for route in routes_of(source):
        if (route.openapi_extra or {}).get("x-scope") != Scope.READ_PATIENTS:
            continue
        asked = [field for field in get_flat_params(route.dependant) if not isinstance(field.field_info, params.Header)]
        assert {field.alias for field in asked} <= known, route.path


def test_each_scope_of_a_sources_route_is_declared() -> None:
    for source in SOURCES:
        for route in routes_of(source):
            assert (route.openapi_extra or {})["x-scope"] in SCOPES, route.path
