"""The people that tests and benchmarks make up."""

import json
from pathlib import Path

import httpx

from tests.support.fhir_population import Population
from tests.support.sandbox import NO_TLS, running_sandbox
from tests.unit.service.sandbox.walking import walked_ids


def test_the_same_numbers_make_the_same_people_and_another_name_makes_others() -> None:
    people = Population(20, 30, ("02139", "02140"))
    lines = [*people.patient_lines(), *people.observation_lines()]
    assert lines == [*people.patient_lines(), *people.observation_lines()]
    ids = {json.loads(line)["id"] for line in lines}
    assert len(ids) == len(lines) == 20 + 20 * 30
    others = Population(20, 30, ("02139", "02140"), name="others")
    assert ids.isdisjoint(json.loads(line)["id"] for line in others.observation_lines())


def test_made_up_people_live_where_they_were_told_to_and_can_be_served(tmp_path: Path) -> None:
    people = Population(7, 25, ("02139", "02140"))
    with running_sandbox([people.write(tmp_path)]) as sandbox, httpx.Client(trust_env=False, verify=NO_TLS) as client:
        found = walked_ids(client, f"{sandbox.url}/Patient", **{"address-postalcode": "02139"})
        assert found == people.patient_ids("02139")
        assert len(found) == 4
        observations = walked_ids(client, f"{sandbox.url}/Observation", patient=",".join(found), _count=30)
        assert len(set(observations)) == 4 * 25
        assert len(sandbox.resources("Observation")) == 7 * 25
