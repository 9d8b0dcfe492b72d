"""How rows are written for the loader: cells encoded for their columns, files in a folder."""
