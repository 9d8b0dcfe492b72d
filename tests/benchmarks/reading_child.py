"""What a benchmark asks the product's child process to do; imports what the nursery has imported anyway."""

from pathlib import Path

from library.sources.beds.reader import read_workbook


def read(path: str) -> int:
    """Read and check a workbook; only how many rows it has goes back."""
    reading = read_workbook(Path(path).read_bytes())
    return len(reading.occupancy) + sum(len(row.occupied) for row in reading.specialty_rows)
