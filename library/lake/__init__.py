"""Delta tables on the object store: every record of every topic, as it came, each once."""
