"""The OpenAPI document equals the recorded one, except descriptions and examples, and it explains itself.

`python -m tests.unit.service.api.test_openapi` records it, after a change that the changelog names.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.settings import Settings
from service.api.app import create_app

RECORDED = Path(__file__).with_name("openapi.txt")
WORDS = ("description", "example", "examples", "summary")
METHODS = ("get", "post", "put", "patch", "delete")
ERRORS = "application/problem+json"


def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def without_words(part: Any, name: str = "") -> Any:
    """A part of the document without descriptions and examples, and without an order where none counts."""
    if isinstance(part, dict):
        is_names = name in ("properties", "schemas", "paths", "$defs")
        kept = {key: value for key, value in part.items() if is_names or key not in WORDS}
        return {key: ERRORS if key == ERRORS else without_words(value, key) for key, value in sorted(kept.items())}
    if isinstance(part, list):
        found = [without_words(each) for each in part]
        return sorted(found, key=json.dumps) if name in ("parameters", "required") else found
    return part


def operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield f"{method} {path}", operation


def lines(found: dict[str, Any]) -> list[str]:
    """The document without words: a line for each operation, for each schema, and for the rest."""
    bare = without_words(found)
    parts = dict(operations(bare))
    parts |= {f"schema {name}": schema for name, schema in bare["components"].pop("schemas").items()}
    del bare["paths"]
    return [f"{name} {json.dumps(part)}" for name, part in sorted((parts | {"document": bare}).items())]


def test_the_document_equals_the_recorded_one_except_descriptions_and_examples() -> None:
    assert lines(document()) == RECORDED.read_text().splitlines()


def test_each_parameter_has_a_description_and_an_example_or_its_allowed_values() -> None:
    wanting = []
    for route, operation in operations(document()):
        for each in operation.get("parameters", ()):
            schema = json.dumps(each["schema"])
            shown = json.dumps(each | {"schema": None}) + schema
            named = any(word in schema for word in ('"enum"', '"boolean"', '"$ref"', '"default"'))
            if not each.get("description") or not (named or '"example' in shown):
                wanting.append(f"{route}: {each['name']}")
    assert not wanting


def test_each_error_has_an_example_of_its_own_status_scope_and_parameter() -> None:
    for route, operation in operations(document()):
        names = {each["name"] for each in operation.get("parameters", ())}
        for status, response in operation["responses"].items():
            if int(status) >= 400 and ERRORS in response.get("content", {}):
                example = response["content"][ERRORS]["example"]
                assert example["status"] == int(status), route
                if status == "403":
                    assert operation.get("x-scope", "").removeprefix("post:") in example["detail"], route
                if status in ("404", "409") and "field" in example:
                    assert example["field"] in names, route


if __name__ == "__main__":
    RECORDED.write_text("\n".join(lines(document())) + "\n")
