"""Workflows of the FHIR source."""
