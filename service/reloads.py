"""Starts the run that reads the landed objects of a source again."""

from library.contracts.reloads import ReloadOlder
from service.starts import RunHandle, Starter


async def reload_older(starter: Starter, source: str) -> RunHandle:
    """Read all objects again that an older version of the source's reader has read, or join the open run that does."""
    return await starter.start(
        "reload-older",
        ReloadOlder(source=source),
        workflow_id=f"reload-older-{source}",
        source=source,
        subject=f"{source}: what older readers have read",
        object_key=None,
        one_load=False,
    )
