"""Workflows: recipes."""
