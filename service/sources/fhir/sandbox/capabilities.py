"""The server's CapabilityStatement."""

from service.sources.fhir.sandbox.resources import instant, present

_SEARCHES = {"Patient": {"address-postalcode": "string"}}
_OTHERS = {"patient": "reference", "code": "token"}
_ALL = {"_id": "token", "_lastUpdated": "date"}


def capabilities(kinds: list[str], base: str) -> dict[str, object]:
    """The CapabilityStatement."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(present()),
        "kind": "instance",
        "software": {"name": "Wardflow sandbox"},
        "implementation": {"description": "Synthetic data, with faults on demand", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "resource": [_resource(kind) for kind in kinds]}],
    }


def _resource(kind: str) -> dict[str, object]:
    searches = _SEARCHES.get(kind, _OTHERS) | _ALL
    return {
        "type": kind,
        "versioning": "versioned-update",
        "interaction": [{"code": code} for code in ("read", "search-type", "update", "delete")],
        "searchParam": [{"name": name, "type": of} for name, of in searches.items()],
    }
