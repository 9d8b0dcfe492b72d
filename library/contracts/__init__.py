"""Types that cross a boundary: inputs, results, references and errors. Only pydantic and the standard library."""
