"""Questions to the warehouse, one module a source. Parameters only: no text of a caller is ever put into SQL."""
