"""FHIR R4: pages of a server and lines of NDJSON become rows."""
