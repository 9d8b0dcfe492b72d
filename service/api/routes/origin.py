"""`/origin`: where a row is from, and the bytes that it was read from."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from library.contracts.origins import NoSuchRow, Origin
from library.datasets.declaration import Dataset
from library.warehouse.origins import RowKey, row_key
from service.api.bodies import begun
from service.api.context import ApiContext, Context
from service.api.security import BY_DATASET, Caller, DatasetName, needs
from service.origins import BYTES, CONTENT_TYPE, SUBJECT, Origins
from service.resources import lake_storage
from service.sources import DATASETS, dataset_called

router = APIRouter(prefix=SUBJECT, tags=["origin"])

_MOST_VALUES = 32  # the most columns that an index of Postgres has


_NO_ROW = NoSuchRow(f"{next(iter(DATASETS))} has no row with this key.")
"""The example of a row that is not there."""


def _example(dataset: Dataset) -> list[str]:
    return [str((dataset.model.model_fields[name].examples or [""])[0]) for name in dataset.key]


async def _asked_key(
    dataset: DatasetName,
    key: Annotated[
        list[str],
        Query(
            max_length=_MOST_VALUES,
            description="The values of the row's primary key: one `key` for each column, in the order of the key.",
            examples=[_example(next(iter(DATASETS.values()))[1])],
        ),
    ],
) -> RowKey:
    return row_key(dataset_called(dataset)[1], key)


AskedKey = Annotated[RowKey, Depends(_asked_key)]


def _origins(api: Context) -> Origins:
    return Origins(api.reader, api.starter.store, lake_storage(api.settings), api.audit)


@router.get("", **needs(BY_DATASET, _NO_ROW))
async def origin(key: AskedKey, api: ApiContext, caller: Caller) -> Origin:
    """Where a row is from: its load and its run, and its landed object or its record."""
    return await _origins(api).find(key, str(caller.token_id))


@router.get(BYTES, response_class=StreamingResponse, **needs(BY_DATASET, _NO_ROW, media_types=[CONTENT_TYPE]))
async def origin_bytes(key: AskedKey, api: ApiContext, caller: Caller) -> StreamingResponse:
    """The bytes that a row was read from: its landed object; for a row of a topic, the value of its record."""
    origins = _origins(api)
    found = await origins.find(key, str(caller.token_id), for_bytes=True)
    _, content = await begun(origins.content(found))
    headers = {} if found.object is None else {"Content-Length": str(found.object.content_size)}
    return StreamingResponse(content, headers=headers, media_type=CONTENT_TYPE)
