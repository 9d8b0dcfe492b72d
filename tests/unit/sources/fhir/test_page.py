"""Pages of a search, as servers send them."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import DEFAULT, Mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.sources.fhir import page as page_module
from library.sources.fhir.errors import FhirError, NotABundle, PageTooLarge, PageUnreadable, ServerRefused
from library.sources.fhir.page import matching_patients, read_page, unreadable_patients
from tests.support.fhir import case, observation, read_lines, resource

OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "x", "diagnostics": "slow"}]}

DECODE = page_module._decode_bundle


def bundle(*entries: object, **elements: object) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": list(entries), **elements}


def entry(each: object, mode: str | None = "match") -> dict[str, Any]:
    return {"fullUrl": "http://x/1", "resource": each, **({"search": {"mode": mode}} if mode else {})}


def encoded(body: object, **how: Any) -> bytes:
    return json.dumps(body, **how).encode()


def test_a_page_is_its_matches_in_order_and_where_the_next_one_is() -> None:
    first, second = observation(valueQuantity={"value": 1.50}), resource("Patient")
    page = read_page(
        encoded(
            bundle(
                entry(first),
                entry(resource("Organization"), "include"),
                entry(OUTCOME, "outcome"),
                entry(second, None),
                link=[{"relation": "self", "url": "http://x/a"}, {"relation": "next", "url": "b?c=d|e"}],
                total=7,
                meta={"lastUpdated": "2026-03-01T10:00:00.5+01:00"},
            )
        )
    )
    assert [json.loads(line) for line in page.resources] == [first, second]
    assert page.next_link == "b?c=d|e"
    assert page.server_time == datetime(2026, 3, 1, 9, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("severities", "failures"),
    [((), 0), (("information", "warning", None), 0), (("error",), 1), (("fatal", "error", "warning"), 2)],
)
def test_errors_beside_the_matches_are_counted(severities: tuple[str | None, ...], failures: int) -> None:
    issues = [{"severity": severity} if severity else {"code": "x"} for severity in severities]
    outcome = {"resourceType": "OperationOutcome", "issue": issues}
    for mode in ("outcome", "match", None):
        page = read_page(encoded(bundle(entry(observation()), entry(outcome, mode))))
        assert (len(page.resources), page.failures) == (1, failures)


def test_an_outcome_among_the_matches_is_none_of_them_even_if_the_server_calls_it_a_match() -> None:
    mentions = observation(valueString='"OperationOutcome"')
    page = read_page(encoded(bundle(entry(OUTCOME), entry(OUTCOME, None), entry(mentions))))
    assert [json.loads(line) for line in page.resources] == [mentions]


@pytest.mark.parametrize("body", [bundle(), {"resourceType": "Bundle"}, {"resourceType": "Bundle", "entry": None}])
def test_a_page_can_be_empty(body: dict[str, Any]) -> None:
    page = read_page(encoded(body))
    assert (page.resources, page.next_link, page.server_time) == ((), None, None)


def test_entries_without_a_resource_are_none() -> None:
    assert read_page(encoded(bundle({}, {"resource": None}, {"fullUrl": "x"}))).resources == ()


@pytest.mark.parametrize("resource_", ["text", 7, {"issue": "x"}])
def test_a_remark_that_cannot_be_read_is_no_match(resource_: object) -> None:
    page = read_page(encoded(bundle(entry(resource_, "outcome"), entry(observation()))))
    assert len(page.resources) == 1


def test_a_resource_on_many_lines_becomes_one_and_its_numbers_and_texts_stay() -> None:
    body = b'{"resourceType":"Bundle","entry":[{"resource": {\r\n "a" : 1.00,\n "b":"\\u00e9 x\\n", "c": 1E2}}]}'
    assert read_page(body).resources == (b'{"a":1.00,"b":"\\u00e9 x\\n","c":1E2}',)


def test_a_byte_order_mark_is_no_part_of_the_page() -> None:
    assert read_page(b"\xef\xbb\xbf" + encoded(bundle())).resources == ()


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"", PageUnreadable, "cut off"),
        (encoded(bundle(entry(observation())))[:-9], PageUnreadable, "cut off"),
        (b"<!DOCTYPE html><html></html>", PageUnreadable, "web page"),
        (b"\n <html>", PageUnreadable, "web page"),
        (b'{"resourceType":"Bundle","link":[{"url":"\xff"}]}', PageUnreadable, "not UTF-8"),
        (b"{} trailing", PageUnreadable, "trailing"),
        (encoded(OUTCOME), ServerRefused, "warning/x"),
        (encoded({"resourceType": "OperationOutcome"}), ServerRefused, "OperationOutcome"),
        (encoded(resource("Patient")), NotABundle, "of the type Patient"),
        (encoded({"a": 1}), NotABundle, "something else"),
        (encoded({"resourceType": "a patient's name"}), NotABundle, "something else"),
        (b"[]", NotABundle, "Expected `object`"),
        (encoded(bundle("x")), NotABundle, "entry"),
        (encoded(bundle(link=[{"relation": "next"}])), NotABundle, "a next link without a URL"),
        (b"[" * 20_000 + b"]" * 20_000, NotABundle, "Expected `object`"),
        (b'{"resourceType":"Bundle","entry":[{"resource":' + b"[" * 20_000, PageUnreadable, "cut off"),
    ],
)
def test_what_is_no_page_is_refused_by_its_kind(body: bytes, error: type[FhirError], said: str) -> None:
    with pytest.raises(error, match=said) as refused:
        read_page(body)
    assert type(refused.value) is error
    assert refused.value.advice
    assert refused.value.retryable == (error is PageUnreadable)


TOO_DEEP = "[" * 20_000 + "]" * 20_000


def nested(depth: int, **elements: object) -> str:
    """A resource as deep as that, as JSON; `json` itself cannot write it."""
    text = json.dumps(resource("Patient", **elements))
    return text[:-1] + ', "x": ' + '{"x\\"}":\n[' * depth + '"]}"' + "]}" * depth + "}"


def page_with(*resources: str, indent: str = "", mode: str = "match") -> bytes:
    entries = ",".join(f'{{"search":{{"mode":"{mode}"}},{indent}"resource":{each}}}' for each in resources)
    link = json.dumps([{"relation": "next", "url": "b"}])
    return f'{{"resourceType":"Bundle",{indent}"entry":[{entries}],"link":{link}}}'.encode()


@pytest.mark.parametrize("indent", ["", "\n  "])
def test_a_resource_that_nobody_can_decode_costs_the_page_no_other(indent: str) -> None:
    good = resource("Patient", id="good", address=[{"postalCode": "02139"}])
    deep = nested(10_000, id="deep")
    page = read_page(page_with(json.dumps(good), deep, json.dumps(OUTCOME), indent=indent))
    assert page.next_link == "b"
    assert [json.loads(page.resources[0]), page.resources[1].decode()] == [good, deep.replace("\n", " ")]
    assert len(page.resources) == 2
    assert [patient for patient, _ in matching_patients(page, "02139")] == ["good"]
    assert unreadable_patients(page) == page.resources[1:]


def test_staged_a_resource_that_nobody_can_decode_is_a_rejection_with_its_line_and_the_others_are_rows() -> None:
    deep = json.dumps(resource("Patient"))[:-1] + f',"extension":{TOO_DEEP}}}'
    page = read_page(page_with(json.dumps(observation()), deep, json.dumps(resource("Patient", id="good"))))
    rows = read_lines(b"\n".join(page.resources))
    assert (rows.observation["id"], rows.patient["id"]) == ("1", "good")
    assert rows.reasons == ['{"nested too deeply"}']
    assert rows.refused[0]["raw"] == f"\\x{deep.encode().hex()}"


@pytest.mark.parametrize("mode", ["include", "outcome"])
def test_a_deep_resource_that_the_server_included_or_remarked_is_no_match(mode: str) -> None:
    assert read_page(page_with(nested(10_000), mode=mode)).resources == ()


@pytest.mark.parametrize("depth", [300, 10_000])
def test_a_deep_outcome_is_no_match_even_if_the_server_calls_it_one(depth: int) -> None:
    outcome = nested(depth).replace("Patient", "OperationOutcome")
    mentions = nested(depth).replace('"x"', '"OperationOutcome"', 1)
    page = read_page(page_with(nested(10_000), outcome, mentions))
    assert len(page.resources) == 2
    assert page.resources[1].startswith(mentions[:60].encode())


def test_a_deep_resource_that_is_no_json_stays_alone_as_well() -> None:
    broken = nested(300, note="OperationOutcome").replace('"]}"', "nul")
    page = read_page(page_with(nested(10_000), broken, json.dumps(resource("Patient"))))
    assert len(page.resources) == 3
    assert unreadable_patients(page) == page.resources[:2]


@pytest.mark.parametrize(
    "element",
    [
        f'"x":{TOO_DEEP}',
        f'"meta":{{"tag":[{{"x":{TOO_DEEP}}}]}}',
        f'"entry":[{{"resource":{{}},"search":{{"mode":"include","x":{TOO_DEEP}}}}}]',
        f'"entry":[{{"resource":{{}},"link":{TOO_DEEP}}}]',
        f'"link":[{{"relation":"self","x":{TOO_DEEP}}}]',
    ],
    ids=["an element", "meta", "search", "an entry's link", "link"],
)
def test_a_bundle_that_is_deep_outside_of_its_resources_is_refused_with_advice_of_its_own(element: str) -> None:
    with pytest.raises(PageTooLarge, match="The page is nested") as refused:
        read_page(f'{{"resourceType":"Bundle",{element}}}'.encode())
    assert refused.value.advice != PageTooLarge.default_advice


def test_what_is_deep_and_no_bundle_is_told_as_what_it_is() -> None:
    with pytest.raises(NotABundle, match="of the type Patient"):
        read_page(nested(10_000).encode())
    outcome = json.dumps(OUTCOME)[:-1] + f', "contained": [{{"x": {TOO_DEEP}}}]}}'
    with pytest.raises(ServerRefused, match="warning/x"):
        read_page(outcome.encode())


@pytest.mark.parametrize("lost", [9, 60, 10_000, 150_000])
def test_a_page_with_a_deep_resource_that_was_cut_off_is_asked_for_again(lost: int) -> None:
    whole = page_with(nested(10_000), nested(20_000))
    with pytest.raises(PageUnreadable, match="cut off"):
        read_page(whole[:-lost])


@pytest.mark.timeout(20)
@pytest.mark.parametrize("end", [b"", b"\\"])
def test_the_search_for_deep_resources_takes_no_longer_where_a_text_never_ends(end: bytes) -> None:
    with pytest.raises(PageUnreadable, match="cut off"):
        read_page(page_with(nested(10_000))[:-2] + b',"x":"' + b'\\"' * MIB + end)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(
    st.lists(
        st.tuples(st.dictionaries(st.text(), JSON) | st.lists(JSON), st.sampled_from(["match", "include", None])),
        max_size=4,
    ),
    st.sampled_from([None, 1]),
)
def test_what_is_cut_out_and_put_back_is_what_was_there(
    given_: list[tuple[object, str | None]], indent: int | None
) -> None:
    entries = [entry({"resourceType": "Patient", "x": each}, mode) for each, mode in given_]
    body = encoded(bundle(*entries, link=[{"relation": "next", "url": "b"}]), indent=indent, ensure_ascii=False)
    plain = read_page(body)
    with pytest.MonkeyPatch.context() as patched:
        shallow, deep = page_module._replace_deep_resources(body)
        assert (shallow, deep) == (body, {})
        patched.setattr(page_module, "_DEEPEST", page_module._OF_A_RESOURCE)  # every resource is too deep
        patched.setattr(page_module, "_decode_bundle", Mock(side_effect=[RecursionError, DEFAULT], wraps=DECODE))
        apart = read_page(body)
    assert [msgspec.json.format(line, indent=-1) for line in apart.resources] == [
        msgspec.json.format(line, indent=-1) for line in plain.resources
    ]
    assert (apart.next_link, len(plain.resources)) == ("b", sum(mode != "include" for _, mode in given_))


def test_patients_match_by_the_zip_code_of_any_address() -> None:
    def patient(name: str, *codes: str) -> dict[str, Any]:
        return {"resourceType": "Patient", "id": name, "address": [{"postalCode": code} for code in codes]}

    page = read_page(
        encoded(
            bundle(
                entry(patient("a", "02139")),
                entry(patient("b", "02139-1234")),
                entry(patient("c", "99999", "02139")),
                entry(patient("d")),
                entry({**patient("e"), "address": [{"postalCode": 2139}]}),
                entry({**patient("f", "02139"), "resourceType": "Person"}),
                entry({**patient("g"), "address": [{"postalCode": "02139-1234", "country": "SA"}]}),
                entry(patient("h", "021390", "0213")),
            )
        )
    )
    found = matching_patients(page, "02139")
    assert [patient_id for patient_id, _ in found] == ["a", "b", "c"]
    assert found == matching_patients(page, "02139-9999")
    assert found[2][1] == page.resources[2]
    assert unreadable_patients(page) == (page.resources[4],)


SCRIPT = """
import resource, sys
from pathlib import Path
from library.sources.fhir.errors import PageTooLarge
from library.sources.fhir.page import read_page
body = Path(sys.argv[1]).read_bytes()
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    said = len(read_page(body).resources)
except PageTooLarge:
    said = -1
print(said, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024)
"""
MIB = 2**20
DEEP = b"[" * 20_000 + b"]" * 20_000
OBSERVATION = b'{"resource":{"resourceType":"Observation","x":"' + b"o" * 600 + b'"}}'


@pytest.mark.parametrize(
    ("element", "times", "said"),
    [
        (b'{"resource":{"x":"' + b"x" * 50 * MIB + b'"}}', 1, 1),
        (OBSERVATION, 60 * MIB // len(OBSERVATION), 60 * MIB // len(OBSERVATION)),
        (b"{}", 20 * MIB, -1),
        (b'{"resource":{"x":\n"' + b"x" * 60 * MIB + b'","y":' + DEEP + b"}}", 1, 1),
        (b'{"resource":{"x":"' + b'\\"' * 15 * MIB + b'","y":\n' + DEEP + b"}}", 2, 2),
    ],
    ids=[
        "a string of 50 MB",
        "60 MB of observations",
        "60 MB of empty entries",
        "60 MB that are deep",
        "60 MB of escapes that are deep",
    ],
)
def test_a_huge_page_takes_bounded_memory(tmp_path: Path, element: bytes, times: int, said: int) -> None:
    with (tmp_path / "page").open("wb") as file:
        file.write(b'{"resourceType":"Bundle","entry":[' + element)
        for _ in range(times - 1):
            file.write(b"," + element)
        file.write(b"]}")
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", SCRIPT, str(tmp_path / "page")], capture_output=True, text=True, check=True
    )
    (tmp_path / "page").unlink()
    matches, grown = (int(number) for number in done.stdout.split())
    assert matches == said
    assert grown < 256, grown


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_whatever_bytes_come_there_is_a_page_or_a_reason(body: bytes) -> None:
    try:
        read_page(body)
    except FhirError as error:
        assert error.message


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_page_that_was_damaged_is_refused_or_still_made_of_lines_of_json(data: st.DataObject) -> None:
    whole = encoded(bundle(entry(observation(valueString="x")), entry(resource("Patient"))), indent=1)
    place = data.draw(st.integers(0, len(whole)))
    damaged = whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + data.draw(st.integers(0, 40)) :]
    try:
        page = read_page(damaged)
    except FhirError:
        return
    for line in page.resources:
        assert b"\n" not in line
        msgspec.json.decode(line, type=msgspec.Raw)


def test_case_36_a_resource_with_half_a_surrogate_pair_costs_its_page_no_other() -> None:
    good, bad = json.dumps(resource("Patient")), case("36-lone-surrogate/").splitlines()[0].decode()
    page = read_page(page_with(good, bad, json.dumps(observation())))
    assert [b"n-sur" in each for each in page.resources] == [False, True, False]
    rows = read_lines(b"\n".join(page.resources))
    assert rows.reasons == ['{"holds half a surrogate pair"}']
    assert (len(rows.tables["patient"]), len(rows.tables["observation"])) == (1, 1)
    assert unreadable_patients(page) == (bad.encode(),)


def test_a_page_in_utf_16_is_named_as_such() -> None:
    with pytest.raises(PageUnreadable, match="it is UTF-16"):
        read_page(page_with(json.dumps(resource("Patient"))).decode().encode("utf-16"))
