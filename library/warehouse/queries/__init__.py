"""Queries of the warehouse. A caller's text is always a parameter, never part of the SQL."""
