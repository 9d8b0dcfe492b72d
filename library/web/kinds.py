"""Detects the kind of a file from its first bytes. The server's media type is not used, as error pages have any."""

import codecs
import re
from typing import Literal

type Kind = Literal["ole2", "zip", "gzip", "pdf", "html", "xml", "text", "binary", "empty"]
"""`ole2`: .xls, and workbooks with a password. `zip`: .xlsx, and any other zip archive."""

HEAD = 1024
"""Number of bytes that are used."""

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole2"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # an empty archive
    (b"\x1f\x8b", "gzip"),
    (b"%PDF-", "pdf"),
)
_HTML = re.compile(
    r"<!doctype html|<(?:html|head|body)[\s>]"  # at any place, since XHTML and saved pages begin differently
    r"|\A\s*<(?:!--|(?:script|style|title|meta|link|div|p|h1|table|iframe|br)[\s>/])",
    re.IGNORECASE,
)
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def sniff(head: bytes) -> Kind:
    """The kind of a file that begins with these bytes. The first `HEAD` bytes are enough."""
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    text = _text(head[:HEAD])
    if _BINARY.search(text):
        return "binary"
    if _HTML.search(text):
        return "html"
    return "xml" if text.lstrip().lower().startswith(("<?xml", "<!doctype")) else "text"


def _text(head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return head.removeprefix(mark).decode(encoding, "ignore")
    return head.decode("latin-1")
