"""Decodes JSON strictly: a name that stands twice in an object is an error, and so is a modifier that is not known.

msgspec uses the last of two equal names. If the decoded object is encoded again, it is as long as its compact JSON,
unless a name stood twice, an element is not declared, or a text has escapes that it does not need. All of these only
make it shorter. So equal lengths prove that all is well, and only other objects are looked at name by name.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from library.sources.fhir.unreadable import Unreadable

type _Parts = Mapping[str, Any]
"""The type of the elements of each field of an object; `None`: they are not read."""


def strict_decoder[T](
    kind: type[T] | object, harmless: frozenset[str], place: str = "", *, in_one_thread: bool = False
) -> Callable[[bytes], T]:
    """Make a function that decodes an object.

    The function raises a `msgspec.DecodeError` if the object is not JSON or not of the type, and `Unreadable` if a name
    stands twice, or a modifier is not known to be harmless.

    Args:
        kind: the type.
        harmless: URLs of modifiers that do not change the meaning of what is read.
        place: the place of the objects in their resource; empty: they are resources.
        in_one_thread: whether only one thread uses the function. It is faster then.
    """
    decode_typed: Callable[[bytes], T] = msgspec.json.Decoder(kind).decode
    encoder = msgspec.json.Encoder()
    encode, encode_into, buffer = encoder.encode, encoder.encode_into, bytearray()
    within = f"{place}." if place else ""

    def is_plain(compact: bytes) -> bool:
        return len(encode(decode_typed(compact))) == len(compact)

    def decode(given: bytes) -> T:
        decoded = decode_typed(given)
        if in_one_thread:
            encode_into(decoded, buffer)  # into memory that is there: half the time of `encode`
            length = len(buffer)
        else:
            length = len(encode(decoded))
        if length != len(given) and not is_plain(msgspec.json.format(given, indent=-1)):
            found = json.loads(given, object_pairs_hook=_Pairs, parse_float=str, parse_int=str)
            _check(found, kind, within, harmless)
        return decoded

    return decode


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all of its names, also those that stand twice."""


def _check(found: object, kind: object, place: str, harmless: frozenset[str]) -> None:
    if isinstance(found, _Pairs):
        parts = _parts(kind)
        names = set()
        for name, content in found:
            if name in names:
                raise Unreadable(place + _shown(name), "is there twice")
            names.add(name)
            if name in _MODIFIERS and not _is_harmless(content, harmless):
                raise Unreadable("", f"{place}{name} is not understood")
            if name in parts:
                _check(content, parts[name], f"{place}{name}.", harmless)
    elif isinstance(found, list):
        for number, each in enumerate(found):
            _check(each, kind, f"{place.rstrip('.')}[{number}].", harmless)


_MODIFIERS = ("modifierExtension", "implicitRules")


def _is_harmless(content: object, harmless: frozenset[str]) -> bool:
    """Whether all URLs of a modifier are known to be harmless. What has no URL is not."""
    if isinstance(content, _Pairs):
        return [url in harmless for name, url in content if name == "url"] == [True]
    if isinstance(content, list):
        return all(_is_harmless(each, harmless) for each in content)
    return content is None or (isinstance(content, str) and content in harmless)


def _shown(name: str) -> str:
    """The name if it can be one of FHIR's. Others may hold anything."""
    return name if name.isascii() and name.removeprefix("_").isalnum() and len(name) <= _LONGEST_NAME else "a name"


_LONGEST_NAME = 64


@cache
def _parts(kind: Any) -> _Parts:  # noqa: ANN401 - types have no common type
    """The fields of a type, or of all types of a union, whose elements are read too."""
    if get_origin(kind) in (Union, UnionType, list):
        found: dict[str, Any] = {}
        for each in get_args(kind):
            found |= _parts(each)
        return found
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {}
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind) if _parts_of_field(field.type)}


def _parts_of_field(kind: Any) -> bool:  # noqa: ANN401 - types have no common type
    """Whether the elements of a field are objects that are read."""
    if get_origin(kind) in (Union, UnionType, list):
        return any(map(_parts_of_field, get_args(kind)))
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
