"""Activities of the FHIR source."""
