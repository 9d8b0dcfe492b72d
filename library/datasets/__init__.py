"""The datasets, one module a schema: tables, keys, order, expectations."""
