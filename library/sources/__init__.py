"""Readers, pure: bytes in, rows out."""
