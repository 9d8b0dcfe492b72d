"""Simulators of clients of Wardflow."""
