"""FHIR for benchmarks: shipped examples multiplied with new ids, as pages and as NDJSON, the same at every call."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

_HERE = Path(__file__).parents[1] / "data" / "fhir"
_IDS = UUID("2f9c2a34-4b6c-4d29-9a63-0f7c1c1c7d10")
_VISIT = 20
"""Observations of a visit: they have its time and its patient."""


def samples() -> list[dict[str, Any]]:
    """Observations to multiply: those of the samples that are shipped, of Synthea's where they are."""
    lines = [line for path in sorted(_HERE.rglob("*Observation*.ndjson")) for line in path.read_bytes().splitlines()]
    if lines:
        return [json.loads(line) for line in lines]
    examples = [json.loads(path.read_bytes()) for path in sorted(_HERE.glob("hl7/Observation-*.json"))]
    return [{name: part for name, part in each.items() if name not in ("text", "contained")} for each in examples]


def observations(count: int) -> Iterator[bytes]:
    """So many observations, each on a line of its own, with ids, patients, times and numbers of their own."""
    given = samples()
    for number in range(count):
        visit = number // _VISIT
        made = {**given[number % len(given)]}
        made["id"] = str(uuid5(_IDS, f"observation {number}"))
        made["subject"] = {"reference": f"Patient/{uuid5(_IDS, f'patient {visit // 10}')}"}
        made["encounter"] = {"reference": f"Encounter/{uuid5(_IDS, f'visit {visit}')}"}
        made.pop("effectivePeriod", None)
        made["effectiveDateTime"] = f"20{visit % 25:02}-{visit % 12 + 1:02}-{visit % 28 + 1:02}T08:16:27-04:00"
        made["issued"] = made["effectiveDateTime"].replace("27-04", "27.869-04")
        if "valueQuantity" in made:
            made["valueQuantity"] = {**made["valueQuantity"], "value": number % 997 / 10}
        yield json.dumps(made, separators=(",", ":"), ensure_ascii=False).encode()


def pages(count: int, size: int = 100) -> list[bytes]:
    """The same observations as pages of a server."""
    lines = list(observations(count))
    made = []
    for start in range(0, count, size):
        entries = b",".join(
            b'{"fullUrl":"https://example.org/fhir/Observation/1","resource":' + line + b',"search":{"mode":"match"}}'
            for line in lines[start : start + size]
        )
        link = b'[{"relation":"next","url":"https://example.org/fhir?_getpages=1"}]'
        made.append(b'{"resourceType":"Bundle","type":"searchset","link":' + link + b',"entry":[' + entries + b"]}")
    return made
