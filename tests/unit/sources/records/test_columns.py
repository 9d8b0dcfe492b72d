"""The fields of a record are the same on the wire, in the warehouse and in answers."""

import msgspec
import pytest

from library.sources.records import questions
from library.sources.records.apis import DATASETS, KINDS, Api
from library.warehouse.queries.question import Question

QUESTIONS: dict[Api, Question] = {
    Api.PATIENT: questions.PATIENTS,
    Api.ADMISSIONS: questions.ADMISSIONS,
    Api.LAB_RESULTS: questions.LAB_RESULTS,
}
PATIENT_ID = "0a4cf3b8-2c1d-4f4b-9f0e-6f1d1a2b3c4d"


@pytest.mark.parametrize("api", list(Api))
def test_a_record_has_the_same_fields_everywhere(api: Api) -> None:
    columns = {each.name for each in QUESTIONS[api].columns}
    fields = {field.name for field in msgspec.structs.fields(KINDS[api].wire)}
    assert fields == set(DATASETS[api].row._fields)
    assert fields < columns


def test_each_field_of_a_patient_comes_out_under_its_own_name() -> None:
    texts = {name: name for name in ("gender", "race", "marital_status", "language")}
    told = texts | {"patient_id": PATIENT_ID, "date_of_birth": "2004-03-21", "population_percentage_below_poverty": 1.5}
    row = KINDS[Api.PATIENT].read(msgspec.json.encode(told))
    assert row._asdict().items() >= texts.items()
