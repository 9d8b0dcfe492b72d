"""This program's own metrics."""
