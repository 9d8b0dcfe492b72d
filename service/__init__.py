"""Processes: the command line, the worker, the embedded stack."""
