"""Staged files on their way into the store."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from library.contracts.loads import LoadIdentity, LoadRequest, StagedObject
from library.contracts.objects import ObjectRef
from library.objects.store import ObjectStore

STAGED = "staged/"
"""Where staged objects are until their load was committed."""

_CSV = "text/csv"
REJECTIONS = "rejections.csv"


def upload(
    store: ObjectStore,
    folder: Path,
    rows: Mapping[str, int],
    *,
    identity: LoadIdentity,
    landed: ObjectRef,
    run_id: str,
    report: dict[str, JsonValue],
) -> LoadRequest:
    """Store the files that a `Staging` left in a folder, and ask for their load.

    Args:
        store: where to.
        folder: with `{dataset}.csv` for each dataset, and `rejections.csv` where rows were refused.
        rows: by dataset: how many rows its file has.
        identity: of the load; its objects lie below it, so that no other load can remove them.
        landed: what the rows were read from.
        run_id: the run that asks.
        report: what the reader says of the object as a whole.
    """
    place = f"{STAGED}{identity.load_id}"
    names = list(rows)
    files = [folder / f"{name}.csv" for name in names]
    if (folder / REJECTIONS).exists():
        files.append(folder / REJECTIONS)
    refs = store.put_all(place, files, content_type=_CSV)
    return LoadRequest(
        identity=identity,
        landed=landed,
        staged=tuple(
            StagedObject(dataset=name, object=ref, rows=rows[name]) for name, ref in zip(names, refs, strict=False)
        ),
        rejections=refs[-1] if len(refs) > len(names) else None,
        run_id=run_id,
        report=report,
    )
