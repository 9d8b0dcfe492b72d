"""Every route of the OpenAPI document, with values for its path that could be some.

A route whose scope depends on the dataset is one for each dataset.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Route:
    """A method of a path.

    Attributes:
        template: the path with the names of its parameters.
        values: for those, by name.
        scopes: that it needs, all of them; none of a public one.
        query: on which the scopes depend.
        parameters: of path, query and headers, as the document has them.
    """

    method: str
    template: str
    values: Mapping[str, str]
    scopes: frozenset[str]
    parameters: tuple[dict[str, Any], ...]
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path with its values."""
        return self.template.format_map(self.values)

    def has(self, place: str) -> bool:
        """Whether it has a parameter in `query`, `path` or `header`."""
        return any(each["in"] == place for each in self.parameters)


def routes_of(document: Mapping[str, Any]) -> Iterator[Route]:
    """All of them."""
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            parameters = tuple(operation.get("parameters", ()))
            values = {each["name"]: _value(document, each["schema"]) for each in parameters if each["in"] == "path"}
            scopes = frozenset(operation[name] for name in ("x-scope", "x-scope-also") if name in operation)
            route = Route(method.upper(), template, values, scopes, parameters)
            by_dataset = operation.get("x-scope-by-dataset", {})
            for dataset, scope in by_dataset.items():
                yield replace(route, scopes=frozenset([scope]), query={"dataset": dataset})
            if not by_dataset:
                yield route


def _value(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema or "enum" in schema:
        return str(schema.get("examples", schema.get("enum"))[0])
    if schema.get("format") == "uuid":
        return NOBODY
    return "1" if schema.get("type") == "integer" else "none"
