"""What crosses a boundary: inputs, results, references and errors. Imports pydantic and the standard library only."""
