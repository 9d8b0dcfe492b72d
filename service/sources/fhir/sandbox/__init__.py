"""A FHIR R4 search server that serves files. It can play the faults of real servers, for the demo and for tests."""
