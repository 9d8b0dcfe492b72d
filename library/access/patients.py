"""Names of patients in the audit."""

import hashlib
from collections.abc import Iterable


def pseudonym(patient_id: str) -> str:
    """The hash of a patient's id. With a patient's id one can find who read it, but the audit does not list ids.

    It is not secret: the ids of some servers are short numbers, so their hashes can be tried. Only administrators can
    read the audit.
    """
    return hashlib.sha256(f"patient {patient_id}".encode(errors="surrogatepass")).hexdigest()[:32]


def row_pseudonym(dataset: str, key: Iterable[object]) -> str:
    """The hash of a row's key, which may contain the id of a patient."""
    text = " ".join((dataset, *map(str, key)))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
