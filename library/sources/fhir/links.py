"""Page and export links. They can contain patients' ids, so the store keeps them and Temporal sees references."""

import tempfile
from pathlib import Path

from library.contracts.objects import ObjectRef
from library.objects.store import ObjectStore

LINKS = "links/"
"""The folder of links. Below it is one folder for each run, until the run has ended."""


def store_link(store: ObjectStore, run_id: str, link: str) -> ObjectRef:
    """Store a link for a later step of the run."""
    with tempfile.TemporaryDirectory(prefix="wardflow-link-") as name:
        path = Path(name) / "link"
        path.write_text(link)
        return store.put(f"{LINKS}{run_id}", path, content_type="text/plain")


def read_link(store: ObjectStore, ref: ObjectRef) -> str:
    """Read a stored link.

    Raises:
        ObjectMissing: the run has ended.
    """
    with tempfile.TemporaryDirectory(prefix="wardflow-link-") as name:
        path = Path(name) / "link"
        store.download(ref, path)
        return path.read_text()


def run_of(key: str) -> str:
    """The id of the run that a link belongs to."""
    return key.removeprefix(LINKS).partition("/")[0]
