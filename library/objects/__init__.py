"""The object store: objects named by their content, read and written as streams."""
