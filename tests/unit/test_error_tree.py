"""The error trees in docstrings list the exception classes of the program."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from config.servers import CHECKOUT
from tests.support.checkouts import PACKAGES

SHARED_TREE = CHECKOUT / "library" / "contracts" / "errors.py"
_BRANCH = re.compile(r"(?P<indent>(?:│   |    )*)[├└]── (?P<name>\w+)(?P<retryable> \(retryable\))?")


class Error(NamedTuple):
    """An exception class, as the code or a tree has it."""

    name: str
    parent: str
    retryable: bool


def declared(file: Path) -> Iterator[Error]:
    """The classes of a module, each with its first base."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.bases:
            assigned = {ast.unparse(each) for each in node.body if isinstance(each, ast.Assign)}
            yield Error(node.name, ast.unparse(node.bases[0]), "retryable = True" in assigned)


def source_of(file: Path) -> str | None:
    """The source whose room a module is in."""
    found = re.search(r"/sources/(\w+)/", file.as_posix())
    return found[1] if found else None


def listed(file: Path) -> set[Error]:
    """The errors in the tree of a module's docstring."""
    errors: set[Error] = set()
    above: list[str] = []
    for line in (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines():
        if branch := _BRANCH.match(line):
            depth = len(branch["indent"]) // 4
            errors.add(Error(branch["name"], above[depth], branch["retryable"] is not None))
            above[depth + 1 :] = [branch["name"]]
        else:
            above = [line.strip()]
    return errors


def errors_of_the_program() -> dict[Error, Path]:
    """All exception classes that are not private; those that are no WardflowErrors only outside of sources' rooms."""
    files = [file for package in PACKAGES for file in sorted((CHECKOUT / package).rglob("*.py"))]
    classes = {error: file for file in files for error in declared(file)}
    found: dict[Error, Path] = {}
    kinds = {"WardflowError"}
    while new := {error for error in classes if error.parent in kinds} - found.keys():
        found |= {error: classes[error] for error in new}
        kinds |= {error.name for error in new}
    roots = {error: file for error, file in classes.items() if error.parent == "Exception"}
    internal = {error: file for error, file in roots.items() if not source_of(file) and "sandbox" not in file.parts}
    return {error: file for error, file in (found | internal).items() if not error.name.startswith("_")}


def test_the_tree_in_errors_lists_every_error_that_is_not_a_sources_and_no_other() -> None:
    shared = {error for error, file in errors_of_the_program().items() if source_of(file) is None}
    assert listed(SHARED_TREE) == shared


def test_the_contracts_of_each_source_list_its_errors_and_no_others() -> None:
    by_source: dict[str, set[Error]] = {}
    for error, file in errors_of_the_program().items():
        if source := source_of(file):
            by_source.setdefault(source, set()).add(error)
    assert by_source.keys() >= {"beds", "fhir"}
    for source, errors in by_source.items():
        room = CHECKOUT / "library" / "sources" / source
        trees = [room / name for name in ("contracts.py", "errors.py") if (room / name).exists()]
        assert {error for tree in trees for error in listed(tree)} == errors, source
