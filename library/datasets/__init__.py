"""Declares datasets: model, row, strategy, checks and steps.

Also declares the tables of the schemas ingest and access.
"""
