"""Links of pages and exports: they can carry patients' ids, so they lie in the store, and only references travel."""

import tempfile
from pathlib import Path

from library.contracts.objects import ObjectRef
from library.objects.store import ObjectStore

LINKS = "links/"
"""Where links are, below the id of the run that follows them, until the run has ended."""


def store_link(store: ObjectStore, run_id: str, link: str) -> ObjectRef:
    """Keep a link for a later step of the run."""
    with tempfile.TemporaryDirectory(prefix="wardflow-link-") as name:
        path = Path(name) / "link"
        path.write_text(link)
        return store.put(f"{LINKS}{run_id}", path, content_type="text/plain")


def read_link(store: ObjectStore, ref: ObjectRef) -> str:
    """The link.

    Raises:
        ObjectMissing: the run has ended.
    """
    with tempfile.TemporaryDirectory(prefix="wardflow-link-") as name:
        path = Path(name) / "link"
        store.download(ref, path)
        return path.read_text()


def run_of(key: str) -> str:
    """The run that a link was kept for."""
    return key.removeprefix(LINKS).partition("/")[0]
