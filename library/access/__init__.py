"""Payload encryption: key ring and cipher."""
