"""What a source is, as all processes need to know it: plain data, quick to import."""

from dataclasses import dataclass

from library.datasets.declaration import Dataset


@dataclass(frozen=True)
class Source:
    """One source of data.

    The parts of each process lie beside it, in modules with fixed names: `worker.py` has its workflows and activities.

    Attributes:
        name: in runs, loads, rejections and settings; also of its rooms in the code.
        schema: of its tables in the warehouse.
        datasets: that its loads feed.
        concerns_patients: whether its runs, and the payloads of their workflows, need the scope `read:patients`.
        workflows_without_patients: how the ids of those of its workflows begin whose payloads concern no patients.
    """

    name: str
    schema: str
    datasets: tuple[Dataset, ...]
    concerns_patients: bool = True
    workflows_without_patients: tuple[str, ...] = ()
