"""The object store: streaming, content addressing."""
