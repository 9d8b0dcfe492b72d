"""Reads the bytes of a record as a row, or finds all of its errors. The drain and the API both use it.

Nearly all records are well-formed, and msgspec alone reads them. But msgspec does not notice a repeated name, and
reports only one of several errors. So all other records are read field by field, which names every bad field.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import NoReturn, cast, get_args
from uuid import UUID

import msgspec
from msgspec import Raw

from library.reading.records import FieldError, RecordRefused
from library.sources.records.moments import moment
from library.sources.records.wire import (
    Admission,
    Fields,
    LabResult,
    Number,
    Patient,
    Percentage,
    Row,
    Time,
    Wire,
    number,
    percentage,
)

_SPEAKABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_MOST_DIGITS = 400
"""A number with more digits is refused."""


@dataclass(frozen=True)
class RecordKind:
    """Patients, admissions or laboratory results.

    Attributes:
        wire: its fields.
        prefixes: the prefixes of the seed's names. A name without one of them gets the first one: `PatientGender`.
    """

    wire: type[Wire]
    prefixes: tuple[str, ...]

    def read(self, value: bytes) -> Row:
        """Read a record as a row.

        Raises:
            RecordRefused: it is not valid.
        """
        if value.find(b"\\") < 0:  # `in` takes 0.4 µs more: it first tries to read a number
            try:
                row = (self._decode_seed if value.find(b'"patient_id"') < 0 else self._decode)(value).row()
            except ValueError:
                return self.read_exactly(value)  # msgspec's errors are ValueErrors; this call finds all errors
            # A flat object without escapes has two marks for each name and each text. More marks mean a repeated name.
            if value.count(b'"') + 2 * row.count(None) == self._quotes:
                return row
        return self.read_exactly(value)

    def read_exactly(self, value: bytes) -> Row:
        """Like `read`, field by field: for records that are not plain."""
        pairs = _pairs_of(value)
        errors: list[FieldError] = []
        found: dict[str, object] = {}
        for name, content in pairs:
            field = self._spellings.get(name)
            if field is None:
                errors.append(FieldError(name if _SPEAKABLE.fullmatch(name) else "", "there is no such field"))
            elif field in found:
                errors.append(FieldError(field, "is there twice"))
            else:
                found[field] = content
        for field, kind in self._types.items():
            if field not in found:
                errors.append(FieldError(field, "missing"))
                continue
            try:
                _check(found[field], kind)
            except ValueError as error:
                errors.append(FieldError(field, str(error)))
        if errors:
            raise RecordRefused(errors)
        return self._wire_of(found).row()

    def _wire_of(self, found: Mapping[str, object]) -> Wire:
        """The record of checked fields."""
        plain = {
            field: _raw(found[field]) if kind in _NUMBERS else msgspec.convert(found[field], kind)
            for field, kind in self._types.items()
        }
        return cast(Callable[..., Wire], self.wire)(**plain)

    @cached_property
    def _types(self) -> dict[str, object]:
        return {field.name: field.type for field in msgspec.structs.fields(self.wire)}

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """Every accepted spelling of each field: ours, and the seed's, with and without the kind before it."""
        return {
            spelling: field for field in self._types for spelling in (field, _pascal(field), self.seed_spelling(field))
        }

    def seed_spelling(self, field: str) -> str:
        """A field's name as the seed writes it: `PatientGender`, `AdmissionID`."""
        pascal = _pascal(field)
        return pascal if pascal.startswith(self.prefixes) else self.prefixes[0] + pascal

    @cached_property
    def _decode(self) -> Callable[[bytes], Wire]:
        return msgspec.json.Decoder(self.wire).decode

    @cached_property
    def _decode_seed(self) -> Callable[[bytes], Wire]:
        spelt = msgspec.defstruct(
            f"Seed{self.wire.__name__}",
            list(self._types.items()),
            bases=(Fields,),
            namespace={"row": self.wire.row},
            rename={field: self.seed_spelling(field) for field in self._types},
            gc=False,
        )
        return cast(Callable[[bytes], Wire], msgspec.json.Decoder(spelt).decode)

    @cached_property
    def _quotes(self) -> int:
        return 2 * sum(1 + (_type_of(kind) in (str, UUID)) for kind in self._types.values())


PATIENT = RecordKind(Patient, ("Patient",))
ADMISSION = RecordKind(Admission, ("Admission", "Patient", "Primary"))
LAB_RESULT = RecordKind(LabResult, ("Lab", "Patient", "Admission"))


def _pairs_of(value: bytes) -> "_Pairs":
    """The names and contents of a JSON object. A repeated name is in the list twice."""
    try:
        found = json.loads(
            value.decode(),
            object_pairs_hook=_Pairs,
            parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else math.inf,
            parse_float=_decimal,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise RecordRefused([FieldError("", "not UTF-8")]) from None
    except RecursionError:
        raise RecordRefused([FieldError("", "nested too deeply")]) from None
    except ValueError:
        raise RecordRefused([FieldError("", "not JSON")]) from None
    if not isinstance(found, _Pairs):
        raise RecordRefused([FieldError("", "not a JSON object")])
    return found


def _decimal(digits: str) -> Decimal | float:
    try:
        return Decimal(digits) if len(digits) <= _MOST_DIGITS else math.inf
    except InvalidOperation:
        return math.inf


class _Pairs(list[tuple[str, object]]):
    """A JSON object with all of its names, also repeated ones."""


def _no_constant(_: str) -> NoReturn:
    raise ValueError("JSON has no NaN and no Infinity")


def _check(content: object, kind: object) -> None:
    """Check a field against its type.

    Raises:
        ValueError: it is not of that type; the text says what it should be.
    """
    if content is None and not _may_be_null(kind):
        raise ValueError("is null")
    try:
        if kind in _NUMBERS:
            _NUMBERS[kind](_raw(content))
        else:
            msgspec.convert(content, kind)
    except ValueError:  # also msgspec's
        raise ValueError(f"is not {_description(kind)}") from None
    if isinstance(content, str):
        if "\0" in content:
            raise ValueError("holds a NUL character")
        try:
            content.encode()
        except UnicodeEncodeError:
            raise ValueError("holds half a surrogate pair") from None
        if _plain(kind) is Time:
            try:
                moment(content)
            except ValueError:
                raise ValueError(f"is not {_description(kind)}") from None


_NUMBERS: Mapping[object, Callable[[Raw], float]] = {Number: number, Percentage: percentage}


def _raw(content: object) -> Raw:
    """A number with the digits that it was written with. Anything else becomes what is no number."""
    is_number = isinstance(content, int | float | Decimal) and not isinstance(content, bool)
    return Raw(str(content).encode() if is_number else b"null")


def _may_be_null(kind: object) -> bool:
    return type(None) in get_args(kind)


def _plain(kind: object) -> object:
    return get_args(kind)[0] if _may_be_null(kind) else kind


def _type_of(kind: object) -> object:
    return get_args(_plain(kind))[0]


def _description(kind: object) -> str:
    return str(get_args(_plain(kind))[1].description)


def _pascal(field: str) -> str:
    """`admission_start_date` as the seed writes it: `AdmissionStartDate`."""
    return "".join("ID" if part == "id" else part.capitalize() for part in field.split("_"))
