"""Postgres: pool, loader, ledger, migrations."""
