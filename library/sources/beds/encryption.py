"""Opens workbooks that are encrypted with Excel's standard password, as Excel does without asking for one.

Excel encrypts a workbook with this password when only its structure is protected.
"""

import io

from library.sources.beds.contracts import PasswordProtected

STANDARD_PASSWORD = "VelvetSweatshop"  # noqa: S105 - published by Microsoft, and the same in every file
MAX_ENCRYPTED = 16 * 1024 * 1024
"""Largest encrypted file, in bytes. The publisher's files have 1 MB; the decryption needs ten times the size."""


def with_standard_password(data: bytes) -> bytes:
    """Decrypt a workbook: an .xlsx in a compound file, or an .xls.

    The result is not checked against any limit.

    Raises:
        PasswordProtected: the password is another one, the kind of encryption is unknown, or the file is too large.
    """
    if len(data) > MAX_ENCRYPTED:
        message = f"The workbook is encrypted and has {len(data):,} bytes; at most {MAX_ENCRYPTED:,} are decrypted."
        raise PasswordProtected(message)
    from msoffcrypto import OfficeFile  # few workbooks are encrypted, and the import takes a tenth of a second

    plain = io.BytesIO()
    try:
        workbook = OfficeFile(io.BytesIO(data))
        workbook.load_key(
            password=STANDARD_PASSWORD, **({"verify_password": True} if workbook.format == "ooxml" else {})
        )
        workbook.decrypt(plain)
    except Exception as error:
        raise PasswordProtected("The workbook is encrypted with a password.") from error
    return plain.getvalue()
