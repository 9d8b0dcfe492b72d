"""A FHIR R4 search server over files, with the manners and the faults of real ones: for the demo and for tests."""
