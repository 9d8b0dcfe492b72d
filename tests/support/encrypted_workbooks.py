"""Encrypts workbooks with a password, as Excel does."""

import io
from hashlib import md5
from struct import pack, unpack_from

from msoffcrypto.format.ooxml import OOXMLFile
from msoffcrypto.method.rc4 import DocumentRC4
from xlwt.CompoundDoc import XlsDoc

from library.sources.beds.compound_file import CompoundFile

_BOF, _BOUNDSHEET, _FILEPASS = 0x0809, 0x0085, 0x002F
_NEVER_ENCRYPTED = {_BOF, _FILEPASS, 0x00E1, 0x0194, 0x0195, 0x0196, 0x0138}
_FILLER = 0x0867
_SALT = bytes(range(16))


def encrypted_xlsx(workbook: bytes, password: str) -> bytes:
    """An .xlsx as Excel has encrypted it since 2010 (ECMA-376 agile)."""
    encrypted = io.BytesIO()
    OOXMLFile(io.BytesIO(workbook)).encrypt(password, encrypted)
    return encrypted.getvalue()


def encrypted_xls(workbook: bytes, password: str) -> bytes:
    """An .xls as Excel 97 to 2000 encrypted it (RC4)."""
    start = _rc4(bytes(16) + md5(bytes(16)).digest(), password)  # noqa: S324 - the format's own
    filepass = pack("<HHH", 1, 1, 1) + _SALT + start
    records = [*CompoundFile(workbook).records()]
    records.insert(1, (_FILEPASS, filepass))
    stream = b""
    for kind, content in records:
        if kind == _BOUNDSHEET:
            content = pack("<I", unpack_from("<I", content)[0] + 4 + len(filepass)) + content[4:]
        stream += pack("<HH", kind, len(content)) + content
    stream += pack("<HH", _FILLER, -len(stream) % 4) + bytes(-len(stream) % 4)  # the padding are records of 4 bytes
    saved = io.BytesIO()
    XlsDoc().save(saved, _with_encrypted_contents(stream, password))
    return saved.getvalue()


def _with_encrypted_contents(stream: bytes, password: str) -> bytes:
    cipher = _rc4(stream, password)
    result = bytearray(stream)
    position = 0
    while position + 4 <= len(stream):
        kind, length = unpack_from("<HH", stream, position)
        first = position + 4 + (4 if kind == _BOUNDSHEET else 0)
        position += 4 + length
        if kind not in _NEVER_ENCRYPTED:
            result[first:position] = cipher[first:position]
    return bytes(result)


def _rc4(data: bytes, password: str) -> bytes:
    # RC4 is its own inverse.
    return bytes(DocumentRC4.decrypt(password, _SALT, io.BytesIO(data), blocksize=1024).read())
