"""Delta tables in the object store: every record of every topic, unchanged, exactly once."""
