"""Whatever loads come, in whatever order, the warehouse holds what a few lines of Python say it should."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.made_up import BED, READING, WARD
from tests.support.warehouse import Family, MadeUpSource

DAY = datetime(2024, 1, 1, tzinfo=UTC)

_readings = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2)), max_size=8)
_beds = st.dictionaries(st.integers(1, 3), st.sampled_from("xy"), max_size=3)
_wards = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.sampled_from("pq"), _beds), max_size=4)
_loads = st.lists(st.tuples(st.integers(1, 2), _readings, _wards), min_size=1, max_size=5)


@dataclass
class Model:
    """What a warehouse should hold: by key, the row with the place that it won with."""

    readings: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    wards: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    beds: dict[str, dict[int, str]] = field(default_factory=dict)

    def load(
        self, version: int, readings: list[tuple[int, int, int]], wards: list[tuple[str, int, str, dict[int, str]]]
    ) -> None:
        newest: dict[int, tuple[int, int]] = {}
        for key, hour, value in readings:
            if key not in newest or hour >= newest[key][0]:
                newest[key] = (hour, value)
        for key, (hour, value) in newest.items():
            stored = self.readings.get(key)
            if stored is None or ((hour, version) >= stored[:2] and (hour, version, value) != stored):
                self.readings[key] = (hour, version, value)
        last: dict[str, tuple[int, str, dict[int, str]]] = {}
        for code, order, name, beds in wards:
            if code not in last or order >= last[code][0]:
                last[code] = (order, name, beds)
        for code, (order, name, beds) in last.items():
            held = self.wards.get(code)
            if held is not None and (order, version) < held[:2]:
                continue
            self.wards[code] = (order, version, name)
            self.beds[code] = dict(beds)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(loads=_loads)
async def test_any_sequence_of_loads_ends_as_the_model_does(
    made_up: MadeUpSource,
    loads: list[tuple[int, list[tuple[int, int, int]], list[tuple[str, int, str, dict[int, str]]]]],
) -> None:
    await made_up.pool.execute("TRUNCATE made_up.reading, made_up.ward, made_up.bed")
    model = Model()
    for version, readings, wards in loads:
        rows = [(key, DAY + timedelta(hours=hour), None, value) for key, hour, value in readings]
        await made_up.load(made_up.readings(*rows, version=version))
        families = [Family((code, name, order), list(beds.items())) for code, order, name, beds in wards]
        await made_up.load(made_up.wards(*families, version=version))
        model.load(version, readings, wards)

    assert await made_up.table(READING, "id", "taken_at", "reader_version", "value") == [
        (key, DAY + timedelta(hours=hour), version, float(value))
        for key, (hour, version, value) in sorted(model.readings.items())
    ]
    assert await made_up.table(WARD, "code", "version", "reader_version", "name") == [
        (code, order, version, name) for code, (order, version, name) in sorted(model.wards.items())
    ]
    assert await made_up.table(BED, "ward_code", "number", "kind") == [
        (code, number, kind) for code in sorted(model.beds) for number, kind in sorted(model.beds[code].items())
    ]
